interface SparklineProps {
  values: readonly number[];
  /** Drawn as a line, and the scale reaches up to it; 0 when there is none. */
  limit?: number;
  /** What it shows, in words, for those who do not see it. */
  label: string;
  width?: number;
  height?: number;
}

/** The way of one figure over time, small, beside its number. */
export function Sparkline({ values, limit = 0, label, width = 96, height = 24 }: SparklineProps) {
  const top = Math.max(limit, ...values, 1e-9) * 1.08;
  const y = (value: number) => height - 1 - (Math.max(0, value) / top) * (height - 2);
  const x = (index: number) => (values.length < 2 ? width : (index / (values.length - 1)) * width);
  const line = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  return (
    <svg
      className="sparkline"
      role="img"
      aria-label={label}
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
    >
      {values.length > 1 ? (
        <>
          <polygon className="sparkline-area" points={`0,${height} ${line} ${width},${height}`} />
          <polyline className="sparkline-line" points={line} />
        </>
      ) : (
        <line className="sparkline-none" x1="0" x2={width} y1={height - 1} y2={height - 1} />
      )}
      {limit > 0 ? <line className="sparkline-limit" x1="0" x2={width} y1={y(limit)} y2={y(limit)} /> : null}
    </svg>
  );
}
