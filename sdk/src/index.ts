// What the package exports: the client, its options and errors, and the types of the protocol.
export { ChatClient, connect } from "./core/client";
export type { State } from "./core/connection";
export type { Clock, Logger, Socket, SocketConstructor, Tabs } from "./core/environment";
export { ChatError } from "./core/errors";
export type { ErrorDetails, LocalErrorCode } from "./core/errors";
export type { HistoryFields, HistoryPage, InboxPage } from "./core/history";
export type { ClientEvents, ClientOptions, Handler } from "./core/options";
export type { Addressee, OutboxItem, Recipient, Sent } from "./core/outbox";
export type { Change, Persistence, Saved } from "./core/persistence";
export type { Fields, RequestOptions } from "./core/requests";
export type { GetToken, TokenReason } from "./core/token";
export type { Position, ServerEvent } from "./core/wire";
export * from "./generated/protocol";
