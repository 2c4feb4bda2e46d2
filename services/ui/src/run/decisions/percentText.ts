/** A probability in words; never 0 % or 100 % for one that is not. */
export function percentText(value: number): string {
  if (value > 0 && value < 0.01) return "<1 %";
  if (value < 1 && value > 0.99) return ">99 %";
  return `${Math.round(value * 100)} %`;
}
