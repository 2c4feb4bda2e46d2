/** Hands the body of an answer to the browser as a file; through memory, because a link could not carry the token. */
export async function saveFile(response: Response, name: string): Promise<void> {
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A name without characters that a file system could take for something else. */
export function backupFileName(agent: string, backupId: string): string {
  return `milepost-${agent}-${backupId}.db`.replace(/[^\w.-]+/g, "_");
}
