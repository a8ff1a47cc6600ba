// The user's communities, with the user's progress in each.
import type { Community, Progress } from "@elitescore/chat";
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { useSignedIn } from "../chat/chat";
import { useI18n } from "../i18n";
import { Avatar } from "../ui/avatar";
import { Empty, Skeleton } from "../ui/empty";
import { SidePanel } from "./side-panel";

export default function Communities() {
  const { t } = useI18n();
  const { client } = useSignedIn();
  const [communities, setCommunities] = useState<readonly Community[]>();
  const [hasFailed, setFailed] = useState(false);
  const [attempts, setAttempts] = useState(0);
  useEffect(() => {
    client.request("get_communities", {}).then(
      ({ communities }) => setCommunities(communities),
      () => setFailed(true),
    );
  }, [client, attempts]);
  return (
    <SidePanel title={t("communities")}>
      {!communities && !hasFailed && <Skeleton rows={3} label={t("loading")} />}
      {hasFailed && (
        <Empty icon="alert" title={t("errorGeneric")}>
          <button type="button" className="button" onClick={() => (setFailed(false), setAttempts(attempts + 1))}>
            {t("retry")}
          </button>
        </Empty>
      )}
      {communities?.length === 0 && <Empty icon="community" title={t("noCommunities")} hint={t("noCommunitiesHint")} />}
      <ul className="cards">
        {communities?.map((community) => (
          <CommunityCard key={community.communityId} community={community} />
        ))}
      </ul>
    </SidePanel>
  );
}

function CommunityCard({ community }: { community: Community }) {
  const { t } = useI18n();
  const { client, userId } = useSignedIn();
  const [progress, setProgress] = useState<Progress>();
  const { communityId } = community;
  useEffect(() => {
    client.request("get_community_progress", { communityId }).then(({ progress }) => setProgress(progress), () => {});
    return client.on("community_progress_update", (update) => {
      if (update.communityId === communityId && update.progress?.userId === userId) setProgress(update.progress);
    });
  }, [client, communityId, userId]);
  return (
    <li className="community">
      <Avatar id={community.defaultGroupId ?? communityId} name={community.name} isGroup />
      <div>
        <h2 dir="auto">{community.name}</h2>
        {community.description && <p dir="auto">{community.description}</p>}
      </div>
      {progress && (
        <dl className="progress">
          <div>
            <dt>{t("totalXp")}</dt>
            <dd>{progress.totalXp}</dd>
          </div>
          <div>
            <dt>{t("dailyStreak")}</dt>
            <dd>{progress.dailyStreak}</dd>
          </div>
          <div>
            <dt>{t("weeklyStreak")}</dt>
            <dd>{progress.weeklyStreak}</dd>
          </div>
        </dl>
      )}
      {community.defaultGroupId && (
        <Link href={`/c/${community.defaultGroupId}`} className="button quiet">
          {t("openChat")}
        </Link>
      )}
    </li>
  );
}
