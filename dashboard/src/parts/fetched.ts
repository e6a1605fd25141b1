import { useEffect, useState } from "preact/hooks";
import { get } from "../api";

// What a route answers, asked again every `interval` ms (0: once). The last good answer stays while the controller is away.
export function useFetched<T>(path: string, interval: number): { data: T | undefined; problem: string } {
  const [data, setData] = useState<T>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let stopped = false;
    let timer = 0;
    const ask = async () => {
      try {
        const answer = await get<T>(path);
        if (stopped) return;
        setData(answer);
        setProblem("");
      } catch (error) {
        if (!stopped) setProblem((error as Error).message);
      }
      if (!stopped && interval > 0) timer = window.setTimeout(ask, interval);
    };
    void ask();
    return () => {
      stopped = true;
      window.clearTimeout(timer);
    };
  }, [path, interval]);
  return { data, problem };
}
