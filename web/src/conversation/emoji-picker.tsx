// The emoji picker, loaded when it is first opened. Its data comes from this server; by default it would ask a CDN.
import { EmojiPicker as Picker } from "frimousse";
import { useI18n } from "../i18n";

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
        <Picker.List />
      </Picker.Viewport>
    </Picker.Root>
  );
}
