// A person's or group's initials on one of a few colours, the same on every device.
const COLOURS = 8;

function colourOf(id: string): number {
  let hash = 0;
  for (const character of id) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  return hash % COLOURS;
}

function initials(name: string): string {
  const words = name.trim().split(/[\s._-]+/).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const letters = words.slice(0, 2).map((word) => [...word.replace(/^[^\p{L}\p{N}]+/u, "")][0] ?? "");
  return letters.join("").toLocaleUpperCase() || "#";
}

interface Props {
  id: string;
  name: string;
  size?: "small" | "medium" | "large";
  isGroup?: boolean;
  isOnline?: boolean;
}

export function Avatar({ id, name, size = "medium", isGroup = false, isOnline = false }: Props) {
  return (
    <span className={`avatar ${size} tone-${colourOf(id)}${isGroup ? " group" : ""}`} aria-hidden="true">
      {initials(name)}
      {isOnline && <span className="presence" />}
    </span>
  );
}
