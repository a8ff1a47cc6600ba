// The messages: a virtual list that stays at its end, keeps its place when older ones are inserted above, and can jump
// to any message.
import { useChat } from "@elitescore/chat/react";
import type { ChatMessage, MessageList as Messages } from "@elitescore/chat/store";
import { type KeyboardEvent, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import { useSignedIn } from "../chat/chat";
import { isGroup } from "../chat/ids";
import { type Member, usePeople } from "../chat/people";
import { useI18n } from "../i18n";
import { Icon } from "../ui/icon";
import { Message } from "./message";
import { MessageMenu } from "./message-menu";
import { setAtEnd } from "./reading";
import { readers, readUpTo, rowMaker } from "./rows";

interface Props {
  id: string;
  list: Messages;
  newFrom: number | undefined;
  /** The message to show, from the address. */
  target: number | undefined;
  onReply: (message: ChatMessage) => void;
  onEdit: (message: ChatMessage) => void;
  onJump: (seq: number) => void;
}

/** How close counts as the end: less than a line is out of sight. */
const END_PX = 24;
const LOAD_BEFORE_PX = 1_200;
const MARKED_MS = 2_000;
const NOBODY: readonly Member[] = [];

/** A page that fails to load is requested again by the next scroll. */
function ignore(loading: Promise<void>): void {
  loading.catch(() => {});
}

export function MessageList({ id, list, newFrom, target, onReply, onEdit, onJump }: Props) {
  const { t } = useI18n();
  const { userId } = useSignedIn();
  const store = useChat();
  const { messages, hasBefore, hasAfter } = list;
  const [toRows] = useState(rowMaker);
  const rows = useMemo(() => toRows(messages, newFrom), [toRows, messages, newFrom]);
  const people = usePeople();
  const members = isGroup(id) ? (people.group(id)?.members ?? NOBODY) : undefined;
  const read = useMemo(() => readUpTo(list, userId, members), [list, userId, members]);
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useRef<VirtualizerHandle>(null);
  const [isAtEnd, setIsAtEnd] = useState(true);
  const [isPlaced, setPlaced] = useState(false);
  const [marked, setMarked] = useState<number>();
  const [active, setActive] = useState<string>();
  const [menu, setMenu] = useState<{ message: ChatMessage; anchor: Element }>();
  const [seenUpTo, setSeenUpTo] = useState(0);
  /** Requested, but not found. */
  const [missed, setMissed] = useState<number>();

  // Older messages were inserted above, or dropped there: the scroll position is kept relative to the end.
  const [first, length] = [messages[0], messages.length];
  const [shown, setShown] = useState({ first, length, last: 0, shifts: false });
  if (shown.first?.key !== first?.key || shown.length !== length) {
    const came = messages.findIndex(({ key }) => key === shown.first?.key) > 0;
    const wereDropped = !!first && !!shown.first && first.seq > shown.first.seq && first.seq <= shown.last;
    setShown({ first, length, last: messages.findLast(({ status }) => status === "sent")?.seq ?? 0, shifts: came || wereDropped });
  }

  const newest = messages.findLast(({ status }) => status === "sent")?.seq ?? 0;
  if (isAtEnd && !hasAfter && newest > seenUpTo) setSeenUpTo(newest);
  const unseen = messages.filter(({ seq, senderId, status }) => status === "sent" && seq > seenUpTo && senderId !== userId).length;

  useEffect(() => {
    setAtEnd(id, isAtEnd && isPlaced);
    return () => setAtEnd(id, false);
  }, [id, isAtEnd, isPlaced]);

  // The first time: at the first unread message, or at the end.
  useLayoutEffect(() => {
    if (isPlaced || (target !== undefined && target !== missed)) return;
    const start = rows.findIndex((row) => row.startsNew);
    if (start > 0) virtual.current?.scrollToIndex(start, { align: "start", offset: -80 });
    else virtual.current?.scrollToIndex(rows.length - 1, { align: "end" });
    setIsAtEnd(start <= 0);
    setPlaced(true);
  }, [isPlaced, target, missed, rows]);

  // New at the end: follow if the end was in sight or the message is the user's own.
  const last = messages.at(-1);
  const lastKey = last?.key;
  const isSending = last?.status === "sending";
  useLayoutEffect(() => {
    if (isPlaced && (isAtEnd || isSending)) virtual.current?.scrollToIndex(rows.length - 1, { align: "end" });
    // eslint-disable-next-line react-hooks/exhaustive-deps -- only when the last message is another one
  }, [lastKey]);

  // A place given in the address.
  const [reached, setReached] = useState<number>();
  if (target === undefined && reached !== undefined) setReached(undefined);
  const targetIndex = target === undefined ? -1 : rows.findIndex(({ message }) => message.seq === target);
  const isMissing = target !== undefined && targetIndex === -1 && target !== missed;
  useEffect(() => {
    if (isMissing) ignore(store.loadAround(id, { seq: target }).finally(() => setMissed(target)));
  }, [isMissing, store, id, target]);
  useLayoutEffect(() => {
    if (target === undefined || target === reached || targetIndex === -1) return;
    virtual.current?.scrollToIndex(targetIndex, { align: "center" });
    setReached(target);
    setIsAtEnd(false);
    setPlaced(true);
    setMarked(target);
  }, [target, targetIndex, reached]);
  useEffect(() => {
    if (marked === undefined) return;
    const timer = setTimeout(() => setMarked(undefined), MARKED_MS);
    return () => clearTimeout(timer);
  }, [marked]);

  const scrolled = useCallback(() => {
    const element = scroller.current;
    if (!element || !isPlaced) return;
    const below = element.scrollHeight - element.clientHeight - element.scrollTop;
    // Without a height it is not on the screen at all: a phone shows the list instead.
    setIsAtEnd(element.clientHeight > 0 && below <= END_PX);
    if (element.scrollTop < LOAD_BEFORE_PX && hasBefore) ignore(store.loadBefore(id));
    if (hasAfter && below < LOAD_BEFORE_PX) ignore(store.loadAfter(id));
  }, [store, id, hasBefore, hasAfter, isPlaced]);
  // A page shorter than the screen cannot be scrolled, and one that was positioned can be only once it has a layout.
  useEffect(() => {
    const frame = requestAnimationFrame(() => requestAnimationFrame(scrolled));
    return () => cancelAnimationFrame(frame);
  }, [scrolled, rows.length]);

  // A phone's keyboard, or a longer draft, takes room: the end stays in sight.
  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      if (isAtEnd && isPlaced) element.scrollTop = element.scrollHeight;
      scrolled();
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [isAtEnd, isPlaced, scrolled]);

  async function toLatest() {
    if (hasAfter) await store.loadLatest(id).catch(() => {});
    virtual.current?.scrollToIndex(Number.MAX_SAFE_INTEGER, { align: "end" });
    requestAnimationFrame(() => scroller.current?.scrollTo({ top: scroller.current.scrollHeight }));
  }

  function move(event: KeyboardEvent) {
    if (event.altKey || event.target !== event.currentTarget.querySelector("article:focus")) return;
    const now = rows.findIndex(({ message }) => message.key === active);
    const next = { ArrowUp: now - 1, ArrowDown: now + 1, Home: 0, End: rows.length - 1 }[event.key];
    const row = next === undefined ? undefined : rows[next];
    if (next === undefined || !row) return;
    event.preventDefault();
    setActive(row.message.key);
    virtual.current?.scrollToIndex(next, { align: "nearest" });
    requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>(`[data-key="${CSS.escape(row.message.key)}"]`)?.focus());
  }

  const openMenu = useCallback((message: ChatMessage, anchor: Element) => setMenu({ message, anchor }), []);
  const closeMenu = useCallback(() => setMenu(undefined), []);
  const focusable = rows.some(({ message }) => message.key === active) ? active : rows.at(-1)?.message.key;
  const total = rows.length;
  return (
    <div className="messages">
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- arrows move between the messages */}
      <div ref={scroller} className="scroller" role="log" aria-live="off" aria-label={t("message")} onKeyDown={move}>
        <div className="grow" />
        <Virtualizer ref={virtual} scrollRef={scroller} shift={shown.shifts} onScroll={scrolled} data={rows} bufferSize={200}>
          {(row, index) => (
            <Message
              key={row.message.key}
              row={row}
              conversationId={id}
              position={index + 1}
              total={total}
              isFocusable={row.message.key === focusable}
              isMarked={marked === row.message.seq}
              isDelivered={row.message.seq <= list.deliveredSeq}
              isRead={row.message.seq <= read || row.message.isRead === true}
              onFocus={setActive}
              onMenu={openMenu}
              onReply={onReply}
              onJump={onJump}
            />
          )}
        </Virtualizer>
      </div>
      {(!isAtEnd || hasAfter) && (
        <button
          type="button"
          className="to-latest"
          aria-label={unseen > 0 ? t("toLatestCount", { count: unseen }) : t("toLatest")}
          onClick={() => void toLatest()}
        >
          <Icon name="down" />
          {unseen > 0 && <span className="badge">{unseen > 99 ? "99+" : unseen}</span>}
        </button>
      )}
      {menu && (
        <MessageMenu
          id={id}
          message={menu.message}
          anchor={menu.anchor}
          readBy={members ? readers(list, members) : list.readBy}
          onReply={onReply}
          onEdit={onEdit}
          onClose={closeMenu}
        />
      )}
    </div>
  );
}
