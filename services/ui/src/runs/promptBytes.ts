export const MAX_PROMPT_BYTES = 65_536;

const encoder = new TextEncoder();

/** Bytes of UTF-8: what the agent counts, not characters. */
export function promptBytes(prompt: string): number {
  return encoder.encode(prompt).length;
}

/** Why a prompt cannot be sent, for a person; empty when it can. */
export function promptProblem(prompt: string): string {
  if (!prompt.trim()) return "Write what is to be done.";
  const over = promptBytes(prompt) - MAX_PROMPT_BYTES;
  return over > 0 ? `The prompt is ${over.toLocaleString("en")} bytes too long.` : "";
}
