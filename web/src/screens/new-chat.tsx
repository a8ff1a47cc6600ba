// Searches for a person and opens the conversation with them.
import { Link, useLocation } from "wouter";
import { useSignedIn } from "../chat/chat";
import { directId } from "../chat/ids";
import { useI18n } from "../i18n";
import { Icon } from "../ui/icon";
import { PersonSearch } from "./person-search";
import { SidePanel } from "./side-panel";

export default function NewChat() {
  const { t } = useI18n();
  const { userId } = useSignedIn();
  const [, navigate] = useLocation();
  return (
    <SidePanel title={t("newChat")}>
      <Link href="/new/group" className="line-button">
        <Icon name="people" />
        {t("newGroup")}
      </Link>
      <PersonSearch onChoose={(person) => navigate(`/c/${directId(userId, person.userId)}`)} />
    </SidePanel>
  );
}
