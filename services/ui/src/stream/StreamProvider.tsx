import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useMemo, useRef, useState } from "react";
import { apiUrl } from "../api/base";
import { tokenStore } from "../auth/tokenStore";
import { clock } from "../clock/clock";
import { CacheUpdater } from "./cacheUpdater";
import type { StreamEvent } from "./events";
import { type ConnectionState, StreamClient } from "./streamClient";

type Listener = (event: StreamEvent) => void;

interface StreamValue {
  connection: ConnectionState;
  subscribe: (listener: Listener) => () => void;
  reconnect: () => void;
}

const StreamContext = createContext<StreamValue | null>(null);

/** The one stream of this page: keeps what was read from the gateway up to date, and tells those who listen. */
export function StreamProvider({ children }: { children: ReactNode }) {
  const queries = useQueryClient();
  const [connection, setConnection] = useState<ConnectionState>({ phase: "connecting", attempt: 0 });
  const listeners = useRef(new Set<Listener>());
  const client = useRef<StreamClient | null>(null);

  useEffect(() => {
    const updater = new CacheUpdater(queries);
    const stream = new StreamClient({
      url: () => apiUrl("stream"),
      token: () => tokenStore.get().token,
      onState: setConnection,
      onRefused: (token) => tokenStore.refused(token),
      onEvent: (event) => {
        if (event.type === "hello") clock.observe(event.server_time);
        updater.apply(event);
        for (const listener of listeners.current) listener(event);
      },
    });
    client.current = stream;
    stream.start();
    const reconnect = () => stream.reconnect();
    let token = tokenStore.get().token;
    const unsubscribe = tokenStore.subscribe(() => {
      if (tokenStore.get().token === token) return;
      token = tokenStore.get().token;
      if (token) reconnect();
    });
    window.addEventListener("online", reconnect);
    return () => {
      unsubscribe();
      window.removeEventListener("online", reconnect);
      stream.stop();
      updater.stop();
    };
  }, [queries]);

  const value = useMemo<StreamValue>(
    () => ({
      connection,
      subscribe: (listener) => {
        listeners.current.add(listener);
        return () => listeners.current.delete(listener);
      },
      reconnect: () => client.current?.reconnect(),
    }),
    [connection],
  );
  return <StreamContext value={value}>{children}</StreamContext>;
}

function useStream(): StreamValue {
  const value = useContext(StreamContext);
  if (!value) throw new Error("StreamProvider is missing");
  return value;
}

export function useConnection(): { connection: ConnectionState; reconnect: () => void } {
  const { connection, reconnect } = useStream();
  return { connection, reconnect };
}

/** Calls `listener` with each event of the stream, in order, once; its newest version, so it need not be stable. */
export function useStreamEvents(listener: Listener): void {
  const { subscribe } = useStream();
  const newest = useRef(listener);
  useEffect(() => {
    newest.current = listener;
  });
  useEffect(() => subscribe((event) => newest.current(event)), [subscribe]);
}
