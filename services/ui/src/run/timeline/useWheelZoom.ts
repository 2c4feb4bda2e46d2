import { type RefObject, useEffect, useRef } from "react";
import type { ChartControl } from "./useChart";

/** Ctrl and wheel zooms at the pointer, a sideways wheel moves; the plain wheel scrolls the lines as ever. */
export function useWheelZoom(
  box: RefObject<HTMLElement | null>,
  track: RefObject<HTMLElement | null>,
  chart: ChartControl,
): void {
  const newest = useRef(chart);
  useEffect(() => {
    newest.current = chart;
  });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const listen = (event: WheelEvent) => {
      const area = track.current?.getBoundingClientRect();
      if (!area || area.width === 0) return;
      const sideways = event.shiftKey ? event.deltaY : event.deltaX;
      if (event.ctrlKey || event.metaKey) {
        const anchor = Math.min(Math.max((event.clientX - area.left) / area.width, 0), 1);
        newest.current.zoomBy(Math.exp(event.deltaY * 0.003), anchor);
      } else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
        newest.current.panBy(sideways / area.width);
      } else return;
      event.preventDefault();
    };
    element.addEventListener("wheel", listen, { passive: false });
    return () => element.removeEventListener("wheel", listen);
  }, [box, track]);
}
