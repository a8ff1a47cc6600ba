// The emoji picker, loaded when it is first opened. Its data comes from this server; by default it would load from a
// CDN.
import { EmojiPicker as Picker, type EmojiPickerListEmojiProps } from "frimousse";
import type { ComponentProps } from "react";
import { useI18n } from "../i18n";

// The picker counts rows and columns from 0, which assistive technology does not know. It scrolls to a row by its number, hence the
// margin in the style.
function Row({ "aria-rowindex": index, ...row }: ComponentProps<"div">) {
  return <div {...row} aria-rowindex={index === undefined ? undefined : index + 1} />;
}

function Emoji({ emoji, "aria-colindex": index = 0, ...cell }: EmojiPickerListEmojiProps) {
  return (
    <button type="button" role="gridcell" {...cell} aria-colindex={index + 1}>
      {emoji.emoji}
    </button>
  );
}

export default function EmojiPicker({ onChoose }: { onChoose: (emoji: string) => void }) {
  const { t, language } = useI18n();
  return (
    <Picker.Root
      className="emoji-picker"
      emojibaseUrl="/emoji"
      locale={language === "de" ? "de" : "en"}
      columns={8}
      onEmojiSelect={({ emoji }) => onChoose(emoji)}
    >
      <Picker.Search className="emoji-search" placeholder={t("search")} aria-label={t("search")} autoFocus />
      <Picker.Viewport className="emoji-viewport">
        <Picker.Loading className="hint">{t("loading")}</Picker.Loading>
        <Picker.Empty className="hint">🤷</Picker.Empty>
        <Picker.List components={{ Row, Emoji }} />
      </Picker.Viewport>
    </Picker.Root>
  );
}
