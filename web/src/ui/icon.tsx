// Icons, drawn on a grid of 24 with strokes of one width. Directional icons are mirrored in right-to-left scripts.
const PATHS = {
  back: "M15 5l-7 7 7 7",
  close: "M6 6l12 12M18 6L6 18",
  search: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM15.5 15.5L20 20",
  plus: "M12 5v14M5 12h14",
  compose: "M4 20h4L19 9a2.8 2.8 0 0 0-4-4L4 16v4zM13.5 6.5l4 4",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c.5-3.5 3-5.5 6.5-5.5s6 2 6.5 5.5M16 4.3a3.5 3.5 0 0 1 0 6.4M18.5 15c1.7.9 2.7 2.600 3 5",
  person: "M12 11.500a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.500 20.500c.7-4 3.500-6 7.500-6s6.800 2 7.500 6",
  community: "M12 3l8.500 5v8L12 21l-8.500-5V8L12 3zM12 12l8.500-4M12 12v9M12 12L3.500 8",
  settings: "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM19 12l2-1.500-2-3.500-2.400.800a7 7 0 0 0-1.700-1L14.500 4h-5l-.4 2.800a7 7 0 0 0-1.700 1L5 7l-2 3.500L5 12l-2 1.500L5 17l2.400-.8a7 7 0 0 0 1.700 1l.4 2.800h5l.4-2.800a7 7 0 0 0 1.700-1l2.400.8 2-3.500L19 12z",
  send: "M4 12l16-8-5 16-3.500-6.500L4 12zM11.500 13.500L20 4",
  smile: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.500 14c.8 1.300 2 2 3.500 2s2.700-.7 3.500-2M9 9.500v.01M15 9.500v.01",
  reply: "M9 7L4 12l5 5M4 12h9c4 0 6.500 2 7 6",
  more: "M12 6v.01M12 12v.01M12 18v.01",
  pin: "M9 4h6l-1 6 3 3.500H7L10 10 9 4zM12 13.500V20",
  mute: "M6 16h12l-1.500-2.500V10a4.500 4.500 0 0 0-7-3.700M7.500 10v3.500L6 16M10 19a2 2 0 0 0 4 0M4 4l16 16",
  bell: "M6 16h12l-1.500-2.500V10a4.500 4.500 0 0 0-9 0v3.500L6 16zM10 19a2 2 0 0 0 4 0",
  check: "M5 12.500l4.500 4.500L19 7.500",
  checks: "M2.500 12.500L7 17l9.500-9.500M12 16l1 1 9-9.500",
  clock: "M12 20.500a8.500 8.500 0 1 0 0-17 8.500 8.500 0 0 0 0 17zM12 7.500V12l3 2",
  alert: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7.500v5.500M12 16.500v.01",
  down: "M5 9l7 7 7-7",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5.500M12 7.500v.01",
  trash: "M5 7h14M10 7V4.500h4V7M7 7l1 13h8l1-13M10.500 11v5.500M13.500 11v5.500",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  link: "M10 14a4 4 0 0 0 6 .5l3-3a4 4 0 0 0-5.700-5.700L12 7M14 10a4 4 0 0 0-6-.5l-3 3a4 4 0 0 0 5.700 5.700L12 17",
  edit: "M4 20h4L19 9a2.800 2.800 0 0 0-4-4L4 16v4z",
  megaphone: "M4 10v4h3l9 4.500v-13L7 10H4zM19.500 9.500c1 1.500 1 3.500 0 5M8 14l1 5.500h2.500L10.500 15",
  eye: "M2.500 12c2-4 5.200-6 9.500-6s7.500 2 9.500 6c-2 4-5.200 6-9.500 6s-7.500-2-9.500-6zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  leave: "M14 4H5v16h9M10 12h11M17.500 8.500L21 12l-3.500 3.500",
  block: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM5.700 5.700l12.600 12.600",
  offline: "M3 9c5-4.500 13-4.500 18 0M6.500 13c3.200-2.700 7.800-2.700 11 0M12 18v.01M4 4l16 16",
  chat: "M4 5h16v11h-8.500L7 20v-4H4V5z",
  computer: "M4 5h16v11H4zM9 20h6M12 16v4",
  phone: "M7 3h10v18H7zM11 18h2",
} as const;

const DIRECTED: readonly string[] = ["back", "send", "reply", "leave"];

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  return (
    <svg
      className={DIRECTED.includes(name) ? "icon directed" : "icon"}
      width={size}
      height={size}
      viewBox="0 0 24 24"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
