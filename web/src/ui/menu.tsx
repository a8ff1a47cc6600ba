// A menu with the browser's `popover`: placed at its button, and on phones at the bottom of the screen.
import { type KeyboardEvent, type ReactNode, useCallback, useEffect, useEffectEvent, useRef } from "react";
import { Icon, type IconName } from "./icon";

export interface Action {
  label: string;
  icon: IconName;
  isDangerous?: boolean;
  /** Also closes the menu, or replaces it with the next step. */
  run: () => void;
}

interface Props {
  label: string;
  actions: Action[];
  /** Where it opens, or what it belongs to. */
  anchor: Element;
  onClose: () => void;
  /** Above the actions. */
  children?: ReactNode;
}

const GAP = 6;

function place(menu: HTMLElement, anchor: Element): void {
  const at = anchor.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const isRtl = getComputedStyle(anchor).direction === "rtl";
  const below = at.bottom + GAP + height <= innerHeight - GAP;
  const top = below ? at.bottom + GAP : at.top - GAP - height;
  const start = isRtl ? at.left : at.right - width;
  menu.style.top = `${Math.max(GAP, Math.min(top, innerHeight - height - GAP))}px`;
  menu.style.left = `${Math.max(GAP, Math.min(start, innerWidth - width - GAP))}px`;
}

export function Menu({ label, actions, anchor, onClose, children }: Props) {
  const ref = useRef<HTMLDivElement>(null);
  const closed = useEffectEvent(onClose);
  useEffect(() => {
    const menu = ref.current;
    if (!menu) return;
    menu.showPopover();
    place(menu, anchor);
    menu.querySelector<HTMLElement>("button")?.focus();
    const close = (event: ToggleEvent) => event.newState === "closed" && closed();
    menu.addEventListener("toggle", close);
    return () => menu.removeEventListener("toggle", close);
  }, [anchor]);

  const move = useCallback((event: KeyboardEvent) => {
    const buttons = [...(ref.current?.querySelectorAll("button") ?? [])];
    const now = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const next = step ? now + step : event.key === "Home" ? 0 : event.key === "End" ? -1 : undefined;
    if (next === undefined) return;
    event.preventDefault();
    buttons.at(next % buttons.length)?.focus();
  }, []);

  const choose = (run: () => void) => {
    if (anchor instanceof HTMLElement) anchor.focus();
    run();
  };
  return (
    <div ref={ref} popover="auto" role="menu" tabIndex={-1} aria-label={label} className="menu" onKeyDown={move}>
      {children}
      {actions.map(({ label: text, icon, isDangerous, run }) => (
        <button key={text} type="button" role="menuitem" className={isDangerous ? "danger" : ""} onClick={() => choose(run)}>
          <Icon name={icon} size={18} />
          {text}
        </button>
      ))}
    </div>
  );
}
