import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../api";

interface Page { offset: string | number; next_offset: string | number; attempt: number; text: string }

const keptCharacters = 400_000;

// Colours and cursor movements of terminals are dropped: output is shown as text, whatever it holds.
// eslint-disable-next-line no-control-regex
const plain = (text: string): string => text.replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, "").replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "�");

// A task's output, followed while the page is open.
export function Log({ job, rank, attempt }: { job: string; rank: number; attempt: number }) {
  const [text, setText] = useState("");
  const [problem, setProblem] = useState("");
  const box = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);

  useEffect(() => {
    let stopped = false;
    let offset = 0;
    let timer = 0;
    setText("");
    const poll = async () => {
      try {
        const page = await get<Page>(`/jobs/${encodeURIComponent(job)}/logs?rank=${rank}&attempt=${attempt}&offset=${offset}`);
        if (stopped) return;
        offset = Number(page.next_offset);
        setProblem("");
        if (page.text) setText((old) => (old + plain(page.text)).slice(-keptCharacters));
      } catch (error) {
        if (!stopped) setProblem((error as Error).message);
      }
      if (!stopped) timer = window.setTimeout(poll, 1000);
    };
    void poll();
    return () => {
      stopped = true;
      window.clearTimeout(timer);
    };
  }, [job, rank, attempt]);
  useEffect(() => {
    if (box.current && atEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);

  const scrolled = () => {
    const element = box.current;
    if (element) atEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
  };
  return (
    <>
      {problem && <p class="empty">{problem}</p>}
      <pre class="log" ref={box} onScroll={scrolled} tabIndex={0} aria-label={`Output of rank ${rank}`}>{text || "No output yet."}</pre>
    </>
  );
}
