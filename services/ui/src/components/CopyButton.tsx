import { useEffect, useState } from "react";
import { Icon } from "./Icon";

/** Copies `text`; says so where a screen reader hears it. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const [result, setResult] = useState<"" | "Copied" | "Copying was refused by the browser">("");
  useEffect(() => {
    if (!result) return;
    const timer = setTimeout(() => setResult(""), 1500);
    return () => clearTimeout(timer);
  }, [result]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setResult("Copied");
    } catch {
      setResult("Copying was refused by the browser");
    }
  };
  return (
    <button type="button" className="icon-button" aria-label={`Copy ${label}`} title={`Copy ${label}`} onClick={copy}>
      <Icon name={result === "Copied" ? "check" : "copy"} size={14} />
      <span className="visually-hidden" role="status">
        {result}
      </span>
    </button>
  );
}
