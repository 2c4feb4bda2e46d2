interface ChoiceProps {
  label: string;
  value: string;
  /** Value and word of each. */
  options: readonly (readonly [string, string])[];
  onChange: (value: string | undefined) => void;
}

/** A filter with a few values. One from the address that is none of them is shown all the same. */
export function Choice({ label, value, options, onChange }: ChoiceProps) {
  const known = !value || options.some(([option]) => option === value);
  return (
    <select
      className="input choice"
      aria-label={label}
      data-set={value ? "" : undefined}
      value={value}
      onChange={(event) => onChange(event.target.value || undefined)}
    >
      <option value="">{label}: any</option>
      {known ? null : <option value={value}>{value}</option>}
      {options.map(([option, word]) => (
        <option key={option} value={option}>
          {word}
        </option>
      ))}
    </select>
  );
}
