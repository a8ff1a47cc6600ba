// A message's text with its links and mentions. Text stays text and is never interpreted as markup.
import type { Mention } from "@elitescore/chat";
import { Fragment, memo, type ReactNode } from "react";
import { folded, splitMentions } from "./mentions";

const LINK = /https?:\/\/[^\s<>"'`]+/gi;
/** Belongs to the sentence around a link, not to the link. */
const AFTER = /[.,;:!?)\]}'"»”]+$/;
const EMOJI_ONLY = /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\s){1,12}$/u;

export function isEmojiOnly(text: string): boolean {
  return EMOJI_ONLY.test(text) && /\p{Extended_Pictographic}/u.test(text);
}

interface Props {
  text: string;
  mentions?: Mention[] | undefined;
  me: string;
}

export const Content = memo(function Content({ text, mentions, me }: Props) {
  const parts: ReactNode[] = [];
  let from = 0;
  for (const match of text.matchAll(LINK)) {
    const address = match[0].replace(AFTER, "");
    if (!URL.canParse(address)) continue;
    parts.push(withMentions(text.slice(from, match.index), mentions, me));
    parts.push(
      <a href={address} target="_blank" rel="noopener noreferrer nofollow">
        {address}
      </a>,
    );
    from = match.index + address.length;
  }
  parts.push(withMentions(text.slice(from), mentions, me));
  return parts.map((part, index) => <Fragment key={index}>{part}</Fragment>);
});

function withMentions(text: string, mentions: Mention[] | undefined, me: string): ReactNode {
  if (!mentions?.length || !text.includes("@")) return text;
  const names = new Map<string, boolean>();
  for (const mention of mentions) {
    if (mention.type === "user") names.set(folded(mention.username), mention.userId === me);
    else for (const word of ["everyone", "all"]) names.set(word, true);
  }
  return splitMentions(text).map((part, index) => {
    const name = folded(part.slice(1));
    const isMine = names.get(name) ?? names.get(name.replace(/[.-]+$/, ""));
    if (!part.startsWith("@") || isMine === undefined) return part;
    return (
      <span key={index} className={isMine ? "mention me" : "mention"}>
        {part}
      </span>
    );
  });
}
