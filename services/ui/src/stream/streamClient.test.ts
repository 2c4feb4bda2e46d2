import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { StreamEvent } from "./events";
import { type ConnectionState, StreamClient } from "./streamClient";

/** A gateway that a test writes to: each connection is one entry. */
class Gateway {
  readonly requests: { headers: Record<string, string>; signal: AbortSignal }[] = [];
  answer: (attempt: number) => number = () => 200;
  private readonly writers: ReadableStreamDefaultController<Uint8Array>[] = [];

  fetch = (async (_url: unknown, init: RequestInit) => {
    const signal = init.signal as AbortSignal;
    this.requests.push({ headers: init.headers as Record<string, string>, signal });
    const status = this.answer(this.requests.length);
    if (status === 0) throw new TypeError("fetch failed");
    if (status !== 200) return new Response("", { status });
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.writers.push(controller);
        signal.addEventListener("abort", () => {
          try {
            controller.error(signal.reason);
          } catch {
            // Closed before.
          }
        });
      },
    });
    return new Response(body, { status });
  }) as unknown as typeof fetch;

  async write(text: string): Promise<void> {
    this.writers.at(-1)?.enqueue(new TextEncoder().encode(text));
    await settle();
  }

  async cut(): Promise<void> {
    this.writers.at(-1)?.close();
    await settle();
  }
}

const settle = () => vi.advanceTimersByTimeAsync(0);

const hello = (cursor: string) =>
  `id: ${cursor}\nevent: hello\ndata: {"cursor":"${cursor}","server_time":"2026-11-25T12:00:00.000Z"}\n\n`;

const journal = (agent: string, sequence: number, cursor = `${agent}=${sequence}`) =>
  `id: ${cursor}\nevent: journal\ndata: ${JSON.stringify({
    agent,
    event: { sequence, run_id: "r1", type: "StepStarted", time: "2026-11-25T12:00:00.000Z", data: {} },
  })}\n\n`;

describe("StreamClient", () => {
  let gateway: Gateway;
  let events: StreamEvent[];
  let states: ConnectionState[];
  let refused: (string | null)[];
  let token: string | null;
  let client: StreamClient;

  const sequences = () => events.flatMap((event) => (event.type === "journal" ? [event.event.sequence] : []));

  beforeEach(async () => {
    vi.useFakeTimers();
    gateway = new Gateway();
    events = [];
    states = [];
    refused = [];
    token = null;
    client = new StreamClient({
      url: () => "http://gateway/api/stream",
      token: () => token,
      onEvent: (event) => events.push(event),
      onState: (state) => states.push(state),
      onRefused: (given) => refused.push(given),
      fetch: gateway.fetch,
      random: () => 1,
    });
  });

  afterEach(() => {
    client.stop();
    vi.useRealTimers();
  });

  const start = async () => {
    client.start();
    await settle();
  };

  it("is live after the hello, not before", async () => {
    await start();
    expect(states.at(-1)?.phase).toBe("connecting");
    await gateway.write(hello("a=3"));
    expect(states.at(-1)?.phase).toBe("live");
    expect(gateway.requests[0]?.headers).not.toHaveProperty("Last-Event-ID");
  });

  it("goes on from the last id after a cut, and drops what comes twice", async () => {
    await start();
    await gateway.write(hello("a=3;b=8") + journal("a", 4, "a=4;b=8"));
    await gateway.cut();
    expect(states.at(-1)?.phase).toBe("away");
    await vi.advanceTimersByTimeAsync(1000);
    expect(gateway.requests[1]?.headers["Last-Event-ID"]).toBe("a=4;b=8");
    await gateway.write(hello("a=4;b=8") + journal("a", 4, "a=4;b=8") + journal("a", 5, "a=5;b=8"));
    expect(sequences()).toEqual([4, 5]);
  });

  it("takes the replay of a hello that names the newest events", async () => {
    await start();
    await gateway.write(hello("a=3"));
    await gateway.cut();
    await vi.advanceTimersByTimeAsync(1000);
    await gateway.write(hello("a=9") + journal("a", 4));
    expect(sequences()).toEqual([4]);
  });

  it("hears an event that comes in pieces, with a letter torn apart", async () => {
    await start();
    const bytes = new TextEncoder().encode(`${hello("a=1")}event: resync\nid: a=2\ndata: {"reason":"zurück"}\n\n`);
    const at = bytes.indexOf(0xc3) + 1;
    await gateway.write(new TextDecoder().decode(bytes.slice(0, 10)));
    const writer = (gateway as unknown as { writers: ReadableStreamDefaultController<Uint8Array>[] }).writers[0];
    writer?.enqueue(bytes.slice(10, at));
    writer?.enqueue(bytes.slice(at));
    await settle();
    expect(events.at(-1)).toEqual({ type: "resync", reason: "zurück" });
  });

  it("waits longer after each failure, and tries at once when told to", async () => {
    gateway.answer = () => 0;
    await start();
    expect(gateway.requests).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(999);
    expect(gateway.requests).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(gateway.requests).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1999);
    expect(gateway.requests).toHaveLength(2);
    client.reconnect();
    await settle();
    expect(gateway.requests).toHaveLength(3);
  });

  it("takes the pause that the gateway asks for, within bounds", async () => {
    await start();
    await gateway.write(`retry: 250\n\n${hello("a=1")}`);
    await gateway.cut();
    await vi.advanceTimersByTimeAsync(249);
    expect(gateway.requests).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(gateway.requests).toHaveLength(2);
  });

  it("gives up a connection on which nothing comes, but not one that beats", async () => {
    await start();
    await gateway.write(hello("a=1"));
    await vi.advanceTimersByTimeAsync(30_000);
    await gateway.write(": beat\n\n");
    await vi.advanceTimersByTimeAsync(30_000);
    expect(states.at(-1)?.phase).toBe("live");
    await vi.advanceTimersByTimeAsync(15_000);
    expect(gateway.requests.length).toBeGreaterThan(1);
  });

  it("asks for a token once when it is refused, and tries with the new one", async () => {
    gateway.answer = (attempt) => (attempt === 1 ? 401 : 200);
    token = "old";
    await start();
    expect(refused).toEqual(["old"]);
    expect(states.at(-1)?.phase).toBe("refused");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(gateway.requests).toHaveLength(1);
    token = "new";
    client.reconnect();
    await settle();
    expect(gateway.requests[1]?.headers.Authorization).toBe("Bearer new");
  });

  it("starts from the new cursor after a resync, so that lower numbers are heard again", async () => {
    await start();
    await gateway.write(hello("a=50"));
    await gateway.write('id: a=2\nevent: resync\ndata: {"reason":"restored"}\n\n');
    await gateway.write(journal("a", 3));
    expect(sequences()).toEqual([3]);
  });

  it("passes over events and data that it does not know", async () => {
    await start();
    await gateway.write(hello("a=1"));
    await gateway.write("event: fireworks\ndata: {}\n\nevent: journal\ndata: no json\n\nevent: journal\ndata: {}\n\n");
    await gateway.write(journal("a", 2));
    expect(events.map((event) => event.type)).toEqual(["hello", "journal"]);
  });

  it("tries no more after it was stopped", async () => {
    gateway.answer = () => 0;
    await start();
    client.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(gateway.requests).toHaveLength(1);
    expect(states.at(-1)?.phase).toBe("closed");
  });
});
