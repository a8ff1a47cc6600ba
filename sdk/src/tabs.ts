// One socket for all tabs of a browser. Each tab has its own client, which believes that it has its own socket; the tab
// that holds a Web Lock has the real one, and forwards frames over a BroadcastChannel. Without Web Locks, each tab has
// its own socket.
import { isChange, isSend } from "./core/wire";
import type { Socket, SocketConstructor, Tabs } from "./index";

export interface TabsOptions {
  /** Distinguishes the users of one browser; use the user id. */
  name: string;
  locks?: Pick<LockManager, "request"> | undefined;
  BroadcastChannel?: (new (name: string) => BroadcastChannel) | undefined;
}

type Frame = Record<string, unknown> & { type: string; requestId?: string };

/** The messages between tabs; `to` is a tab, or absent for all. */
type Note = { from: string; to?: string } & (
  | { is: "hello" | "alive" | "welcome" | "bye" }
  | { is: "command" | "event"; frame: Frame }
);

/** A leader that does not answer within this time hangs: its lock is taken. */
const LEADER_ANSWERS_WITHIN_MS = 5_000;
/** The time within which the other tabs have found a new leader. */
const RECENT_MS = 10_000;
const ABNORMAL = 1006;

/** Pass it to `connect({tabs})`. */
export function shareSocket({ name, locks, BroadcastChannel }: TabsOptions): Tabs {
  const manager = locks ?? globalThis.navigator?.locks;
  const Channel = BroadcastChannel ?? globalThis.BroadcastChannel;
  if (!manager || !Channel) return (options) => options;
  return ({ WebSocket, getToken }) => {
    const hub = new Hub(`chat-${name}`, WebSocket, manager, Channel);
    return {
      WebSocket: class extends SharedSocket {
        constructor(url: string) {
          super(hub, url);
        }
      },
      // Only the leader's token is ever sent.
      getToken: (request) => (hub.isLeader ? getToken(request) : ""),
    };
  };
}

/** This tab's end of the channel and of the lock, and of the real socket while it leads. */
class Hub {
  readonly id = Math.random().toString(36).slice(2, 10);
  isLeader = false;
  real: Socket | undefined;
  /** The answer to the leader's `authenticate`: the session is open. */
  success: Frame | undefined;
  readonly #channel: BroadcastChannel;
  #local: SharedSocket | undefined;
  #release: (() => void) | undefined;
  #isAsking = false;
  /** Something has arrived from the leader since this tab said hello. */
  #isLed = false;
  /** Whose `sync` is in progress, and those that wait, since the parts of its answer do not say. */
  #syncs: { tab: string; frame: Frame }[] = [];
  readonly #types = new Map<string, string>();
  /** What arrived since the session opened, for tabs that are about to move from the previous leader. */
  #recent: Frame[] = [];
  #openedAt = 0;

  constructor(
    private readonly name: string,
    private readonly WebSocket: SocketConstructor,
    private readonly locks: Pick<LockManager, "request">,
    Channel: new (name: string) => BroadcastChannel,
  ) {
    this.#channel = new Channel(name);
    this.#channel.onmessage = ({ data }) => this.#heard(data as Note);
  }

  open(socket: SharedSocket): void {
    this.#local = socket;
    if (this.isLeader) return this.#openReal(socket);
    this.#lead();
    this.#isLed = false;
    this.#tell({ is: "hello" });
    setTimeout(() => {
      if (this.#local === socket && !this.#isLed && !this.isLeader) this.#lead(true);
    }, LEADER_ANSWERS_WITHIN_MS);
  }

  /** With a `code` the client has ended, and another tab must lead. */
  close(socket: SharedSocket, code?: number): void {
    if (this.#local !== socket) return;
    this.#local = undefined;
    if (!this.isLeader) return;
    this.#lost(ABNORMAL);
    if (code !== undefined) {
      this.isLeader = false;
      this.#release?.();
    }
  }

  /** From this tab's client. */
  send(frame: Frame): void {
    if (!this.isLeader) return this.#tell({ is: "command", frame });
    this.#command(this.id, frame);
  }

  #lead(steal = false): void {
    if (this.#isAsking && !steal) return;
    this.#isAsking = true;
    const hold = () =>
      new Promise<void>((resolve) => {
        this.isLeader = true;
        this.#release = resolve;
        // Tabs that another tab led reconnect here.
        this.#tell({ is: "bye" });
        if (this.#local?.isOpen) this.#local.shut(ABNORMAL);
        else if (this.#local) this.#openReal(this.#local);
      });
    this.locks
      .request(this.name, { steal }, hold)
      .catch(() => {})
      .finally(() => {
        // Released, or taken away because this tab did not answer.
        this.#isAsking = false;
        if (!this.isLeader) return;
        this.isLeader = false;
        this.#lost(ABNORMAL);
        this.#local?.shut(ABNORMAL);
      });
  }

  #openReal(socket: SharedSocket): void {
    const real = new this.WebSocket(socket.url, "chat.v1");
    this.real = real;
    real.onopen = () => socket.opened();
    real.onmessage = ({ data }) => {
      if (this.real === real) this.#received(JSON.parse(data as string) as Frame);
    };
    real.onclose = ({ code }) => {
      if (this.real !== real) return;
      this.#lost(code);
      socket.shut(code);
    };
  }

  #lost(code: number): void {
    const { real } = this;
    this.real = this.success = undefined;
    this.#syncs = [];
    this.#recent = [];
    this.#types.clear();
    this.#tell({ is: "bye" });
    if (code === ABNORMAL) real?.close();
  }

  #heard(note: Note): void {
    if (note.to !== undefined && note.to !== this.id) return;
    if (this.isLeader) {
      if (note.is === "hello") this.#tell({ is: this.success ? "welcome" : "alive", to: note.from });
      if (note.is === "command") this.#command(note.from, note.frame);
      return;
    }
    if (note.is === "hello" || note.is === "command") return;
    this.#isLed = true;
    if (note.is === "welcome") this.#local?.opened();
    else if (note.is === "event" && this.#local?.isOpen) this.#local.receive(note.frame);
    else if (note.is === "bye") this.#local?.shut(ABNORMAL);
  }

  #command(tab: string, frame: Frame): void {
    if (frame.type === "authenticate" && tab !== this.id) {
      if (!this.success) return;
      for (const event of [this.success, ...this.#recent]) this.#deliver(tab, event);
      return;
    }
    if (frame.type === "sync" && this.#syncs.push({ tab, frame }) > 1) return;
    this.#pass(tab, frame);
  }

  #pass(tab: string, frame: Frame): void {
    const { requestId } = frame;
    if (requestId === undefined) return this.real?.send(JSON.stringify(frame));
    const shared = `${tab}:${requestId}`;
    this.#types.set(shared, frame.type);
    this.real?.send(JSON.stringify({ ...frame, requestId: shared }));
  }

  #received(event: Frame): void {
    if (event.type === "auth_success") {
      if (!this.success) this.#openedAt = Date.now();
      this.success = event;
      this.#local?.receive(event);
      // For tabs that waited for a session.
      return this.#tell({ is: "welcome" });
    }
    // Tabs that come later get `success` only.
    if (event.type === "epoch_changed") this.success = { ...(this.success as Frame), epoch: event.epoch };
    if (event.type === "auth_error" && !["TOKEN_REVOKED", "USER_NOT_FOUND"].includes(event.code as string)) {
      return this.#local?.receive(event);
    }
    const [tab, ...rest] = (event.requestId ?? "").split(":");
    if (event.requestId === undefined || !tab) {
      if (event.type.startsWith("sync_")) return this.#deliver(this.#syncs[0]?.tab ?? this.id, event);
      if (Date.now() - this.#openedAt < RECENT_MS) this.#recent.push(event);
      else this.#recent = [];
      return this.#deliver(undefined, event);
    }
    const type = this.#types.get(event.requestId);
    this.#types.delete(event.requestId);
    this.#deliver(tab, { ...event, requestId: rest.join(":") });
    if (type === "sync") {
      this.#syncs.shift();
      const [next] = this.#syncs;
      if (next) this.#pass(next.tab, next.frame);
    }
    // The server notifies the other connections of what this one has done; the other tabs share this one.
    if (type && event.type !== "error" && !isSend(type) && isChange(type, event)) {
      const { requestId: _, ...news } = event;
      this.#deliver(undefined, news as Frame, tab);
    }
  }

  /** Delivers to one tab, or to all except one. */
  #deliver(tab: string | undefined, frame: Frame, except?: string): void {
    if (tab === this.id || (tab === undefined && except !== this.id)) this.#local?.receive(frame);
    if (tab === this.id) return;
    this.#tell({ is: "event", frame, ...(tab === undefined ? {} : { to: tab }) });
  }

  #tell(note: { is: Note["is"]; to?: string; frame?: Frame }): void {
    this.#channel.postMessage({ ...note, from: this.id });
  }
}

class SharedSocket implements Socket {
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  onerror: Socket["onerror"] = null;
  isOpen = false;
  #isShut = false;

  constructor(
    private readonly hub: Hub,
    readonly url: string,
  ) {
    // The client sets its handlers first.
    queueMicrotask(() => hub.open(this));
  }

  send(text: string): void {
    this.hub.send(JSON.parse(text) as Frame);
  }

  close(code?: number): void {
    this.#isShut = true;
    this.hub.close(this, code);
  }

  opened(): void {
    if (this.isOpen || this.#isShut) return;
    this.isOpen = true;
    this.onopen?.(undefined as never);
  }

  receive(frame: Frame): void {
    if (!this.#isShut) this.onmessage?.({ data: JSON.stringify(frame) });
  }

  shut(code: number): void {
    if (this.#isShut) return;
    this.close();
    this.onclose?.({ code });
  }
}
