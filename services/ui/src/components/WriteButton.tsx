import { tokenStore } from "../auth/tokenStore";
import { useWriteAccess } from "../auth/useWriteAccess";
import { Button, type ButtonProps } from "./Button";
import { Tooltip } from "./Tooltip";

/** A button that changes something. Without the right to, it says why and asks for a token instead. */
export function WriteButton({ onClick, title, ...rest }: ButtonProps) {
  const access = useWriteAccess();
  if (access.allowed) return <Button {...rest} title={title} onClick={onClick} />;
  if (!access.canEnterToken) return <Button {...rest} disabled title={access.reason} />;
  return (
    <Tooltip text={access.reason}>
      <Button
        {...rest}
        submit={false}
        disabled={false}
        className={`${rest.className ?? ""} button-locked`}
        aria-disabled="true"
        aria-description={access.reason}
        icon="key"
        onClick={() => tokenStore.ask(access.reason)}
      />
    </Tooltip>
  );
}
