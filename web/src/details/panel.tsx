// A column beside the conversation; on small screens it covers the conversation.
import { type ReactNode, useEffect, useEffectEvent, useRef } from "react";
import { useI18n } from "../i18n";
import { Icon } from "../ui/icon";

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
}

export function Panel({ title, onClose, children }: Props) {
  const { t } = useI18n();
  const ref = useRef<HTMLElement>(null);
  const escaped = useEffectEvent(onClose);
  useEffect(() => {
    const panel = ref.current;
    const before = document.activeElement;
    panel?.focus();
    const press = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || document.querySelector("dialog[open], :popover-open")) return;
      event.preventDefault();
      event.stopPropagation();
      escaped();
    };
    panel?.addEventListener("keydown", press);
    return () => {
      panel?.removeEventListener("keydown", press);
      if (before instanceof HTMLElement && document.activeElement === document.body) before.focus();
    };
  }, []);
  return (
    <section ref={ref} className="panel" aria-label={title} tabIndex={-1}>
      <header className="panel-head">
        <h2>{title}</h2>
        <button type="button" className="icon-button" aria-label={t("close")} onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <div className="panel-body">{children}</div>
    </section>
  );
}
