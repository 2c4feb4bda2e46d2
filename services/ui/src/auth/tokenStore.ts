const KEY = "milepost.token";
const SENDABLE = /^[\x21-\x7e]+$/;
const REFUSED = "The gateway did not accept the token.";

export interface TokenState {
  token: string | null;
  /** Why a token is asked for; null when it is not. */
  asking: string | null;
}

type Listener = () => void;

/** The bearer token of this tab; it ends with the tab and never stands in a URL. */
export class TokenStore {
  private state: TokenState;
  private readonly listeners = new Set<Listener>();
  private readonly storage: Storage | null;

  constructor(storage: Storage | null) {
    this.storage = storage;
    this.state = { token: read(storage), asking: null };
  }

  get = (): TokenState => this.state;

  subscribe = (listener: Listener): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** A token that no request can carry is refused here. */
  set(token: string): void {
    const clean = token.trim();
    const usable = isSendable(clean) ? clean : null;
    write(this.storage, usable);
    this.update({ token: usable, asking: clean && !usable ? REFUSED : null });
  }

  forget(): void {
    write(this.storage, null);
    this.update({ token: null, asking: null });
  }

  ask(reason: string): void {
    this.update({ ...this.state, asking: reason });
  }

  close(): void {
    this.update({ ...this.state, asking: null });
  }

  /** The gateway refused `token`: it is forgotten, unless another has taken its place, and a new one is asked for. */
  refused(token: string | null): void {
    if (token !== this.state.token) return;
    write(this.storage, null);
    this.update({
      token: null,
      asking: token ? REFUSED : "The gateway wants a token for this.",
    });
  }

  private update(state: TokenState): void {
    this.state = state;
    for (const listener of this.listeners) listener();
  }
}

/** Whether a header can carry it: printable ASCII without spaces. */
export function isSendable(token: string): boolean {
  return SENDABLE.test(token);
}

/** Takes `#token=` out of the location, so that it stays neither in the address bar nor in the history. */
export function takeToken(location: Location, history: History, store: TokenStore): void {
  const fields = new URLSearchParams(location.hash.replace(/^#/, ""));
  const token = fields.get("token");
  if (token === null) return;
  fields.delete("token");
  const rest = fields.toString();
  history.replaceState(history.state, "", location.pathname + location.search + (rest ? `#${rest}` : ""));
  if (token.trim()) store.set(token);
}

function read(storage: Storage | null): string | null {
  try {
    return storage?.getItem(KEY) || null;
  } catch {
    return null;
  }
}

function write(storage: Storage | null, token: string | null): void {
  try {
    if (token === null) storage?.removeItem(KEY);
    else storage?.setItem(KEY, token);
  } catch {
    // Storage may be switched off; the token then lives as long as the page.
  }
}

function sessionStorageOrNull(): Storage | null {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}

export const tokenStore = new TokenStore(sessionStorageOrNull());
