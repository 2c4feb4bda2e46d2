import { connect, createServer, type Server, type Socket } from "node:net";

/** Forwards one port to another and can cut what goes through it. */
export class Wire {
  private readonly sockets = new Set<Socket>();
  private server?: Server;
  private refusing = false;
  private target: number;
  port = 0;
  /** Connections that were made so far. */
  connections = 0;

  constructor(target: number) {
    this.target = target;
  }

  async start(): Promise<void> {
    this.server = createServer((client) => this.forward(client));
    await new Promise<void>((resolve) => this.server?.listen(0, "127.0.0.1", resolve));
    const address = this.server.address();
    this.port = typeof address === "object" && address ? address.port : 0;
  }

  /** Break every connection, as a network would: with a reset, without a last byte. */
  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  /** Cut, and let nobody through until `restore`. */
  refuse(): void {
    this.refusing = true;
    this.cut();
  }

  restore(): void {
    this.refusing = false;
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server?.close(resolve));
  }

  private forward(client: Socket): void {
    if (this.refusing) {
      client.resetAndDestroy();
      return;
    }
    this.connections += 1;
    const upstream = connect(this.target, "127.0.0.1");
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        this.sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}
