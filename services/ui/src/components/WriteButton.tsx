import { tokenStore } from "../auth/tokenStore";
import { useWriteAccess } from "../auth/useWriteAccess";
import { Button, type ButtonProps } from "./Button";

/** A button that changes something. Without the right to, it says why and asks for a token instead. */
export function WriteButton({ onClick, title, ...rest }: ButtonProps) {
  const access = useWriteAccess();
  if (access.allowed) return <Button {...rest} title={title} onClick={onClick} />;
  return (
    <Button
      {...rest}
      submit={false}
      className={`${rest.className ?? ""} button-locked`}
      aria-disabled="true"
      title={access.reason}
      icon="key"
      onClick={() => access.canEnterToken && tokenStore.ask(access.reason)}
    />
  );
}
