// Real local mode for one worker of Playwright: `milepost up` on a state directory and ports of its own.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const HERE = dirname(fileURLToPath(import.meta.url));
export const ROOT = join(HERE, "../../..");
export const PYTHON = process.env.MILEPOST_PYTHON ?? join(ROOT, ".venv/bin/python");
const BIN = dirname(PYTHON);
const LAUNCHER = join(ROOT, "services/common/milepost_service/launcher.py");
const PATIENCE_MS = 120_000;
const run = promisify(execFile);

interface Running {
  pid: number;
  state: string;
  ui: string;
  workflows: Record<string, string>;
  processes: Record<string, { role: string; target: string; state: string; pid: number | null; restarts: number }>;
}

export interface Run {
  run_id: string;
  state: string;
  outcome: string;
  recoveries: number;
  last_sequence: number;
  // biome-ignore lint/suspicious/noExplicitAny: the shapes are those of milepost_service.json_form
  [field: string]: any;
}

export interface JournalEvent {
  sequence: number;
  run_id: string;
  type: string;
  step: string;
  // biome-ignore lint/suspicious/noExplicitAny: by type
  data: Record<string, any>;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Asks again until there is an answer other than undefined or false. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline) {
    const found = await ask();
    if (found !== undefined && found !== false) return found;
    await sleep(50);
  }
  throw new Error(`not within ${PATIENCE_MS / 1000} s: ${what}`);
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

/** A process of the test's own, in its own group, with its output in a file; ended by `stop`, or with the worker. */
export class OwnProcess {
  readonly child: ChildProcess;
  readonly log: string;

  constructor(command: string, args: string[], log: string, environment: Record<string, string> = {}) {
    this.log = log;
    const out = openSync(log, "a");
    const env = { ...process.env, GRPC_VERBOSITY: "ERROR", ...environment };
    const launched = ["-I", "-S", LAUNCHER, String(process.pid), command, ...args];
    this.child = spawn(PYTHON, launched, { cwd: ROOT, env, stdio: ["ignore", out, out], detached: true });
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.ended) return;
    const gone = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill(signal);
    const late = setTimeout(() => this.child.pid && process.kill(-this.child.pid, "SIGKILL"), 30_000);
    await gone;
    clearTimeout(late);
  }
}

/** `milepost-gateway` with settings of the test's own. */
export class Gateway {
  readonly port: number;
  private readonly world: World;
  private readonly settings: Record<string, string>;
  private process?: OwnProcess;

  constructor(world: World, port: number, settings: Record<string, string> = {}) {
    this.world = world;
    this.port = port;
    this.settings = settings;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}${this.settings.MILEPOST_GATEWAY_PREFIX ?? ""}/`;
  }

  async start(): Promise<void> {
    const agents = Object.entries(this.world.running.workflows).map(([name, target]) => `${name}=${target}`);
    const environment = {
      MILEPOST_LISTEN: `127.0.0.1:${this.port}`,
      MILEPOST_AGENTS: agents.join(","),
      MILEPOST_GATEWAY_WRITE: "open",
      ...this.settings,
    };
    this.process = new OwnProcess(
      join(BIN, "milepost-gateway"),
      [],
      join(this.world.folder, `gateway-${this.port}.log`),
      environment,
    );
    await until("the gateway answers", async () => {
      if (this.process?.ended) throw new Error(`the gateway ended: ${readFileSync(this.process.log, "utf8")}`);
      return answers(`http://127.0.0.1:${this.port}/readyz`);
    });
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.process?.stop(signal);
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

export class World {
  readonly folder = mkdtempSync(join(tmpdir(), "milepost-ui-test-"));
  readonly state = join(this.folder, "state");
  readonly gateways: Gateway[] = [];
  private up?: OwnProcess;

  /** Start local mode and wait until all of it is ready. */
  async start(): Promise<void> {
    await run(PYTHON, [join(HERE, "seed.py"), join(this.state, "agents/asking")], { env: { ...process.env } });
    const port = await freePort();
    const manifests = ["examples/review-loop", join(HERE, "manifests")];
    const options = ["--state", this.state, "--port", String(port), "--ui-port", String(await freePort())];
    const python = [join(HERE, "scripted"), process.env.PYTHONPATH].filter(Boolean).join(":");
    this.up = new OwnProcess(join(BIN, "milepost"), ["up", ...manifests, ...options], join(this.folder, "up.log"), {
      PYTHONPATH: python,
      SCRIPTED_GATES: this.folder,
    });
    await until("milepost up is ready", () => {
      if (this.up?.ended) throw new Error(`milepost up ended: ${readFileSync(this.up.log, "utf8")}`);
      return existsSync(join(this.state, "up.json")) && this.running.state === "ready";
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.gateways.map((gateway) => gateway.stop()));
    await this.up?.stop("SIGINT");
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  get running(): Running {
    return JSON.parse(readFileSync(join(this.state, "up.json"), "utf8"));
  }

  /** What lets a caller of local mode's gateway change things. */
  get token(): string {
    return readFileSync(join(this.state, "ui.token"), "utf8").trim();
  }

  /** A gateway beside that of local mode, ended with the world at the latest. */
  async gateway(settings: Record<string, string> = {}): Promise<Gateway> {
    const gateway = new Gateway(this, await freePort(), settings);
    this.gateways.push(gateway);
    await gateway.start();
    return gateway;
  }

  /** What a command of the CLI prints, which does not go by the gateway. */
  async cli(...args: string[]): Promise<string> {
    const answer = run(join(BIN, "milepost"), [...args, "--state", this.state], { maxBuffer: 2 ** 26 });
    // 1 says that the run which was watched ended otherwise than Completed.
    const { stdout } = await answer.catch((error) => (error.code === 1 ? error : Promise.reject(error)));
    return stdout;
  }

  /** The journal of a run as the agent tells it, from the beginning to its end. */
  async journal(runId: string): Promise<JournalEvent[]> {
    const lines = (await this.cli("watch", runId, "--json")).trim().split("\n");
    return lines.map((line) => JSON.parse(line).event).filter(Boolean);
  }

  /** Lets the calls go on that wait for this gate, see tests/integration/scripted_service.py. */
  openGate(name: string): void {
    writeFileSync(join(this.folder, name), "");
  }

  /** SIGKILL to a process of local mode, which starts it again. Returns once the old one is gone. */
  async kill(name: string): Promise<void> {
    const pid = this.running.processes[name]?.pid;
    if (!pid) throw new Error(`${name} does not run`);
    process.kill(pid, "SIGKILL");
    await until(`${name} was started again`, () => {
      const now = this.running.processes[name]?.pid;
      return now !== null && now !== undefined && now !== pid;
    });
  }

  /** A process that hangs while `work` goes on: it is there, and says nothing. */
  async pause(name: string, work: () => Promise<void>): Promise<void> {
    const pid = this.running.processes[name]?.pid;
    if (!pid) throw new Error(`${name} does not run`);
    process.kill(pid, "SIGSTOP");
    try {
      await work();
    } finally {
      process.kill(pid, "SIGCONT");
    }
  }

  async waitReady(name: string): Promise<void> {
    await until(`${name} is ready`, () => this.running.processes[name]?.state === "ready");
  }
}
