import { request } from "../api/client";
import { ApiError } from "../api/errors";
import type { Config } from "../api/types";
import { isSendable } from "./tokenStore";

/** Whether the gateway takes this token. Throws ApiError when it cannot be asked. */
export async function checkToken(token: string): Promise<boolean> {
  if (!isSendable(token)) return false;
  try {
    return givesRights(await request<Config>("config", { token }));
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return false;
    throw error;
  }
}

/** What the gateway answers to a right token: where it wants one for changes, every token that it knows may make them. */
export function givesRights(config: Config): boolean {
  return config.writable || !config.token_required;
}
