// An application as a customer would write it, which records everything that it receives.
import { WebSocket } from "ws";
import { ChatClient, type ClientOptions, type Message, type Recipient, type Sent, type State, type TokenReason } from "../../src/index";
import { type User, until } from "./fleet";

export class Person {
  readonly client: ChatClient;
  readonly states: State[] = [];
  readonly reasons: TokenReason[] = [];
  /** As they arrived, by conversation. */
  readonly messages = new Map<string, Message[]>();
  readonly sent: Promise<Sent>[] = [];

  constructor(
    readonly user: User,
    url: string,
    token: (reason: TokenReason) => string = () => user.token,
    options: Partial<ClientOptions> = {},
  ) {
    this.client = new ChatClient({
      url,
      getToken: ({ reason }) => (this.reasons.push(reason), token(reason)),
      WebSocket,
      ...options,
    });
    this.client.on("state", (state) => void this.states.push(state));
    this.client.on("message", (message) => {
      const list = this.messages.get(message.conversationId) ?? [];
      this.messages.set(message.conversationId, [...list, message]);
    });
    void this.client.start();
  }

  async online(ms?: number): Promise<void> {
    await until(`${this.user.username} is online`, () => this.client.state.name === "online", ms);
  }

  send(to: Recipient, content: string): Promise<Sent> {
    const { sent } = this.client.send(to, content);
    this.sent.push(sent);
    return sent;
  }

  contents(conversationId: string): string[] {
    return (this.messages.get(conversationId) ?? []).map(({ content }) => content);
  }

  seqs(conversationId: string): number[] {
    return (this.messages.get(conversationId) ?? []).map(({ seq }) => seq);
  }
}
