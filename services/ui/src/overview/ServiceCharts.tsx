import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Service } from "../api/types";
import { formatBytes, formatTime } from "../clock/format";
import { useTheme } from "../theme/useTheme";
import type { UsageSample } from "./usageHistory";

interface ChartSpec {
  title: string;
  value: (sample: UsageSample) => number;
  limit: number;
  format: (value: number) => string;
}

/** What a service used since this page was opened, larger, with its limits; and the facts about it. */
export default function ServiceCharts({ service, samples }: { service: Service; samples: readonly UsageSample[] }) {
  const { usage } = service;
  const charts: ChartSpec[] = [
    {
      title: "CPU cores",
      value: (sample) => sample.cpu_cores,
      limit: usage?.cpu_limit_cores ?? 0,
      format: (value) => value.toFixed(1),
    },
    {
      title: "Memory",
      value: (sample) => sample.memory_bytes,
      limit: usage?.memory_limit_bytes ?? 0,
      format: formatBytes,
    },
    {
      title: "Tokens per second",
      value: (sample) => sample.tokens_per_second,
      limit: 0,
      format: (value) => value.toFixed(0),
    },
  ];
  return (
    <div className="service-more">
      <div className="charts">
        {charts.map((chart) => (
          <Chart key={chart.title} {...chart} samples={samples} />
        ))}
      </div>
      <dl className="facts">
        <Fact name="Address" value={service.target} />
        <Fact name="Lease ends" value={formatTime(service.lease_expire_time)} />
        <Fact name="Measured" value={usage?.source === "cgroup" ? "the whole container" : "the process alone"} />
        {Object.entries(service.details).map(([name, value]) => (
          <Fact key={name} name={name} value={value} />
        ))}
      </dl>
    </div>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value || "–"}</dd>
    </div>
  );
}

const HEIGHT = 128;

function Chart({ title, value, limit, format, samples }: ChartSpec & { samples: readonly UsageSample[] }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const newestFormat = useRef(format);
  const { theme } = useTheme();
  const data: uPlot.AlignedData = [
    samples.map((sample) => sample.time / 1000),
    samples.map(value),
    samples.map(() => (limit > 0 ? limit : null)),
  ];
  const newest = useRef(data);
  newest.current = data;

  // biome-ignore lint/correctness/useExhaustiveDependencies: the colours are read anew when the theme changes
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const chart = new uPlot(options(element.clientWidth, newestFormat.current), newest.current, element);
    plot.current = chart;
    const observer = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, [theme]);

  useEffect(() => {
    plot.current?.setData(newest.current);
  });

  const last = samples.at(-1);
  return (
    <figure className="chart">
      <figcaption>
        {title}
        <span className="faint">
          {last ? ` ${format(value(last))}` : ""}
          {limit > 0 ? ` of ${format(limit)}` : ""}
        </span>
      </figcaption>
      <div ref={box} aria-hidden="true" />
    </figure>
  );
}

function options(width: number, format: (value: number) => string): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: colour("--text-faint"),
    font: `11px ${style.getPropertyValue("--font")}`,
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: true }, y: { range: (_chart, _low, high) => [0, Math.max(high, 0.1) * 1.1] } },
    axes: [
      { ...axis, size: 24 },
      { ...axis, size: 62, space: 34, values: (_chart, ticks) => ticks.map((tick) => format(tick)) },
    ],
    series: [
      {},
      { stroke: colour("--accent"), width: 1.5, fill: colour("--accent-soft"), points: { show: false } },
      { stroke: colour("--text-faint"), width: 1, dash: [3, 4], points: { show: false } },
    ],
  };
}
