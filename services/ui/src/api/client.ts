import { tokenStore } from "../auth/tokenStore";
import { clock } from "../clock/clock";
import { apiUrl, type QueryValue } from "./base";
import { ApiError, errorOf, messageOf } from "./errors";

export interface RequestOptions {
  method?: "GET" | "POST" | "PUT";
  query?: Record<string, QueryValue>;
  body?: unknown;
  signal?: AbortSignal;
  /** Instead of the tab's. */
  token?: string;
}

/** The answer of the gateway, whole. Throws `ApiError`; a refused token is asked for again. */
export async function send(path: string, options: RequestOptions = {}): Promise<Response> {
  const token = options.token ?? tokenStore.get().token;
  const headers: Record<string, string> = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(apiUrl(path, options.query), {
      method: options.method ?? "GET",
      headers,
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      ...(options.signal ? { signal: options.signal } : {}),
      cache: "no-store",
      redirect: "error",
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, "UNREACHABLE", messageOf(error));
  }
  if (response.status === 401) tokenStore.refused(token);
  if (!response.ok) throw await errorOf(response);
  return response;
}

export async function request<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const response = await send(path, options);
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(response.status, "", "The answer of the gateway is no JSON.");
  }
}

/** As `request`, and takes the server's time from the answer; the request took half the time each way. */
export async function timedRequest<T extends { server_time: string }>(path: string): Promise<T> {
  const sent = performance.now();
  const answer = await request<T>(path);
  const received = performance.now();
  clock.observe(answer.server_time, (sent + received) / 2);
  return answer;
}
