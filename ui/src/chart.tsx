// A number over time (uPlot), with its figures as text for those who do not see it.
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Timeline, TimePoint } from "./types";

export interface Series { field: keyof TimePoint; name: string; colour: string }

interface Props { title: string; timeline: Timeline; series: Series[]; format: (value: number) => string; theme: string; height?: number }

export function Chart({ title, timeline, series, format, theme, height = 150 }: Props) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const host = box.current;
    if (!host) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const [times, ...values] = columns(timeline, series);
    const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const plot = new uPlot(
      {
        width: Math.max(200, host.clientWidth),
        height,
        cursor: { y: false },
        legend: { show: false },
        scales: { y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
        axes: [{ ...axis }, { ...axis, size: 56, values: (_u, ticks) => ticks.map((tick) => format(tick)) }],
        series: [
          {},
          ...series.map((one) => ({
            label: one.name,
            stroke: colour(one.colour),
            fill: `${colour(one.colour)}22`,
            width: 1.5,
            points: { show: false },
          })),
        ],
      },
      [times!, ...values] as uPlot.AlignedData,
      host,
    );
    const watcher = new ResizeObserver(() => plot.setSize({ width: Math.max(200, host.clientWidth), height }));
    watcher.observe(host);
    return () => {
      watcher.disconnect();
      plot.destroy();
    };
  }, [timeline, series, format, height, theme]);
  const sums = series.map((one) => `${one.name} ${format(timeline.points.reduce((sum, point) => sum + (point[one.field] ?? 0), 0))}`);
  return (
    <figure className="chart">
      <figcaption>
        {title}
        <span className="legend">
          {series.map((one, at) => (
            <span key={one.field}>
              <i className={`dot ${one.colour.slice(2)}`} /> {sums[at]}
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={box} aria-hidden="true" />
    </figure>
  );
}

/** Times in seconds, then a column for each series; steps without anything are 0. */
function columns(timeline: Timeline, series: Series[]): number[][] {
  const step = timeline.step_ms;
  const last = Math.max(1, Math.floor((Date.now() - timeline.start_ms) / step), ...timeline.points.map((point) => point.bucket));
  const times = Array.from({ length: Math.min(last + 1, 2000) }, (_, at) => (timeline.start_ms + at * step) / 1000);
  const values = series.map(() => new Array<number>(times.length).fill(0));
  for (const point of timeline.points)
    series.forEach((one, at) => {
      if (point.bucket >= 0 && point.bucket < times.length) values[at]![point.bucket] = point[one.field] ?? 0;
    });
  return [times, ...values];
}
