import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { MetricSeries } from "../api";

// One metric over steps. The newest value is also given as text, for those who cannot see the line.
export function Chart({ series }: { series: MetricSeries }) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data: uPlot.AlignedData = [series.points.map((p) => Number(p.step)), series.points.map((p) => p.value)];
  const last = series.points[series.points.length - 1];

  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const ink = getComputedStyle(element).color;
    const grid = { stroke: ink, width: 0.15 };
    plot.current = new uPlot(
      {
        width: element.clientWidth || 480, height: 200, legend: { show: false }, cursor: { y: false },
        scales: { x: { time: false } },
        axes: [{ stroke: ink, grid, ticks: grid }, { stroke: ink, grid, ticks: grid, size: 64 }],
        series: [{}, { stroke: "#2f7de1", width: 2 }],
      },
      data, element,
    );
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: 200 }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.current?.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(data), [series.points.length, last?.value]);

  return (
    <figure class="chart">
      <figcaption>
        {series.name.replaceAll("_", " ")} <strong data-metric={series.name}>{last ? last.value.toPrecision(5) : "–"}</strong>
        {last && <small> at step {last.step}</small>}
      </figcaption>
      <div ref={holder} role="img" aria-label={`${series.name} over steps, now ${last?.value ?? "none"}`} />
    </figure>
  );
}
