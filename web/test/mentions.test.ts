// What counts as a mention in scripts with marks, and comparing composed and decomposed names.
import { expect, test } from "vitest";
import { folded, splitMentions, typedMention } from "../src/conversation/mentions";

test("marks and joiners belong to a mentioned name", () => {
  expect(splitMentions("an @हिन्दी, ja")).toEqual(["an ", "@हिन्दी", ", ja"]);
  expect(splitMentions("@zoe\u0301!")).toEqual(["", "@zoe\u0301", "!"]);
  expect(typedMention("hi @हि")).toBe("हि");
  expect(typedMention("a@b")).toBeUndefined();
});

test("composed and decomposed names are the same", () => {
  expect(folded("Zoe\u0301")).toBe(folded("ZO\u00c9"));
  expect(folded("zoe")).not.toBe(folded("zoe\u0301"));
});
