// A screen without content: what it is, why, and what to do next.
import type { ReactNode } from "react";
import { Icon, type IconName } from "./icon";

interface Props {
  icon: IconName;
  title: string;
  hint?: string;
  /** Nothing else is on the page. */
  isAlone?: boolean;
  children?: ReactNode;
}

export function Empty({ icon, title, hint, isAlone = false, children }: Props) {
  const Title = isAlone ? "h1" : "h2";
  return (
    <div className="empty">
      <span className="empty-icon">
        <Icon name={icon} size={28} />
      </span>
      <Title>{title}</Title>
      {hint && <p>{hint}</p>}
      {children}
    </div>
  );
}

export function Spinner({ label }: { label: string }) {
  return (
    <div className="spinner" role="status">
      <span aria-hidden="true" />
      <span className="visually-hidden">{label}</span>
    </div>
  );
}

/** The grey shape of a list that is loading. */
export function Skeleton({ rows, label }: { rows: number; label: string }) {
  return (
    <div className="skeleton" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, row) => (
        <span key={row} aria-hidden="true" />
      ))}
    </div>
  );
}
