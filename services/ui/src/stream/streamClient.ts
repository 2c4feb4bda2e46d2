import { createParser, type EventSourceMessage } from "eventsource-parser";
import { backoff } from "./backoff";
import { advance, type Cursor, formatCursor, isKnown, parseCursor } from "./cursor";
import { decode, type StreamEvent } from "./events";

export type ConnectionState =
  | { phase: "connecting"; attempt: number }
  | { phase: "live" }
  /** The gateway does not answer; `retryAt` is on the monotonic clock, `since` on the wall clock, both in ms. */
  | { phase: "away"; attempt: number; since: number; retryAt: number }
  | { phase: "refused" }
  | { phase: "closed" };

export interface StreamOptions {
  url: () => string;
  token: () => string | null;
  onEvent: (event: StreamEvent) => void;
  onState: (state: ConnectionState) => void;
  onRefused: (token: string | null) => void;
  fetch?: typeof fetch;
  random?: () => number;
  /** Without a byte for this long the connection is given up; the gateway beats every 15 s. */
  silenceMs?: number;
}

const SILENCE_MS = 40_000;

/**
 * One stream of server-sent events, by fetch so that it can carry a token. After a cut it goes on from the last id,
 * with growing pauses, and drops what it has heard already. `reconnect` tries at once.
 */
export class StreamClient {
  private readonly options: StreamOptions;
  private cursor: Cursor = new Map();
  private lastId: string | null = null;
  private retryMs = 1000;
  private attempt = 0;
  private awaySince: number | null = null;
  private connection: AbortController | null = null;
  private pause: ReturnType<typeof setTimeout> | undefined;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private running = false;

  constructor(options: StreamOptions) {
    this.options = options;
  }

  start(): void {
    if (this.running) return;
    this.running = true;
    void this.connect();
  }

  stop(): void {
    this.running = false;
    this.disconnect();
    this.options.onState({ phase: "closed" });
  }

  /** Tries anew at once, for example with a new token or when the network is back. */
  reconnect(): void {
    if (!this.running) return;
    this.attempt = 0;
    this.disconnect();
    void this.connect();
  }

  private disconnect(): void {
    clearTimeout(this.pause);
    clearTimeout(this.silence);
    this.connection?.abort();
    this.connection = null;
  }

  private async connect(): Promise<void> {
    const connection = new AbortController();
    this.connection = connection;
    const token = this.options.token();
    if (this.awaySince === null) this.options.onState({ phase: "connecting", attempt: this.attempt });
    this.listen(connection);
    try {
      const response = await (this.options.fetch ?? fetch)(this.options.url(), {
        headers: this.headers(token),
        signal: connection.signal,
        cache: "no-store",
      });
      if (response.status === 401 || response.status === 403) {
        this.refuse(connection, token);
        return;
      }
      if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
      await this.read(response.body, connection);
    } catch {
      // Every end is handled alike below.
    }
    if (this.connection === connection) this.retry();
  }

  private headers(token: string | null): Record<string, string> {
    return {
      Accept: "text/event-stream",
      ...(token ? { Authorization: `Bearer ${token}` } : {}),
      ...(this.lastId === null ? {} : { "Last-Event-ID": this.lastId }),
    };
  }

  private async read(body: ReadableStream<Uint8Array>, connection: AbortController): Promise<void> {
    const parser = createParser({
      onEvent: (message) => this.receive(message),
      onRetry: (milliseconds) => {
        this.retryMs = Math.min(Math.max(milliseconds, 100), 30_000);
      },
    });
    const decoder = new TextDecoder();
    const reader = body.getReader();
    try {
      while (this.connection === connection) {
        const { done, value } = await reader.read();
        if (done) return;
        this.listen(connection);
        parser.feed(decoder.decode(value, { stream: true }));
      }
    } finally {
      reader.cancel().catch(() => undefined);
    }
  }

  private listen(connection: AbortController): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => connection.abort(), this.options.silenceMs ?? SILENCE_MS);
  }

  private refuse(connection: AbortController, token: string | null): void {
    clearTimeout(this.silence);
    if (this.connection !== connection) return;
    this.connection = null;
    this.options.onState({ phase: "refused" });
    this.options.onRefused(token);
  }

  private retry(): void {
    clearTimeout(this.silence);
    this.connection = null;
    const wait = backoff(this.attempt, this.retryMs, this.options.random);
    this.attempt += 1;
    this.awaySince ??= Date.now();
    this.options.onState({
      phase: "away",
      attempt: this.attempt,
      since: this.awaySince,
      retryAt: performance.now() + wait,
    });
    this.pause = setTimeout(() => void this.connect(), wait);
  }

  private receive(message: EventSourceMessage): void {
    const event = decode(message.event ?? "message", message.data);
    if (event?.type === "journal" && isKnown(this.cursor, event.agent, event.event.sequence)) return;
    if (event?.type === "hello") this.welcome(message.id);
    else if (message.id) this.follow(event, message.id);
    if (event) this.options.onEvent(event);
  }

  private welcome(id: string | undefined): void {
    this.attempt = 0;
    this.awaySince = null;
    this.options.onState({ phase: "live" });
    if (!id) return;
    // Agents that were known stay where this page is, so that nothing of the replay is dropped as known.
    this.cursor = new Map([...parseCursor(id), ...this.cursor]);
    this.lastId = formatCursor(this.cursor);
  }

  private follow(event: StreamEvent | null, id: string): void {
    this.lastId = id;
    if (event?.type === "resync") this.cursor = parseCursor(id);
    else if (event?.type === "journal") this.cursor = advance(this.cursor, event.agent, event.event.sequence);
  }
}
