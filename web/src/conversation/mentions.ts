/** Mentions in a text, as the server reads them: accents and joiners belong to a word, however they are composed. */

const WORD = String.raw`[\p{L}\p{M}\p{N}\u200c\u200d_.-]`;
const MENTIONS = new RegExp(`(@${WORD}+)`, "u");
const AT_CARET = new RegExp(String.raw`(?:^|[\s([{"'])@(${WORD}*)$`, "u");

/** Splits a text into parts; those that begin with `@` may be mentions. */
export function splitMentions(text: string): string[] {
  return text.split(MENTIONS);
}

/** The typed part of a mention at the end of the text, without the `@`. */
export function typedMention(text: string): string | undefined {
  return AT_CARET.exec(text)?.[1];
}

/** The form in which names are compared. */
export function folded(name: string): string {
  return name.normalize("NFC").toLowerCase();
}
