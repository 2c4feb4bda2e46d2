/** What the gateway answered instead of a result. `status` 0: it did not answer at all. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }
}

export async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null && "error" in body) {
      const error = body.error as { code?: unknown; message?: unknown } | null;
      if (typeof error?.message === "string") {
        return new ApiError(response.status, String(error.code ?? ""), error.message);
      }
    }
  } catch {
    // Not of the gateway, for example a page of a proxy in between.
  }
  return new ApiError(response.status, "", `HTTP ${response.status} ${response.statusText}`.trim());
}

export interface Explanation {
  /** What happened. */
  title: string;
  /** What to do. */
  advice: string;
}

/** An error in words for a person. */
export function explain(error: unknown): Explanation {
  if (!(error instanceof ApiError)) {
    return { title: "This page ran into a fault of its own.", advice: messageOf(error) };
  }
  switch (error.status) {
    case 0:
      return {
        title: "The gateway does not answer.",
        advice: "What is shown is as old as it says. The page tries again by itself.",
      };
    case 401:
      return { title: "A token is needed.", advice: "Enter one that the gateway accepts, then try again." };
    case 403:
      return { title: "This is not allowed with this token.", advice: error.message };
    case 404:
      return { title: "There is no such thing here.", advice: error.message };
    case 409:
      return { title: "It cannot be done now.", advice: error.message };
    case 413:
      return { title: "That is too long.", advice: error.message };
    case 502:
    case 503:
    case 504:
      return { title: "The agent does not answer.", advice: error.message };
    default:
      return {
        title: error.status >= 500 ? "The gateway ran into a fault." : "The request was refused.",
        advice: error.message,
      };
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
