// A screen in place of the list, with a way back to it.
import type { ReactNode } from "react";
import { Link } from "wouter";
import { useI18n } from "../i18n";
import { Icon } from "../ui/icon";

export function SidePanel({ title, back = "/", children }: { title: string; back?: string; children: ReactNode }) {
  const { t } = useI18n();
  return (
    <>
      <header className="side-head">
        <Link href={back} className="icon-button" aria-label={t("back")}>
          <Icon name="back" />
        </Link>
        <h1>{title}</h1>
      </header>
      <div className="side-body">{children}</div>
    </>
  );
}
