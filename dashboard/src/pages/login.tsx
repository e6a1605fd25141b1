import { useState } from "preact/hooks";
import { post } from "../api";
import { identify } from "../live";

export function Login() {
  const [problem, setProblem] = useState("");
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    try {
      await post("/login", { code: (new FormData(form).get("code") as string).trim() });
      await identify();
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <main class="login">
      <h1>oneai</h1>
      <form onSubmit={submit}>
        <label>
          Login code
          <input name="code" autocomplete="one-time-code" autofocus required />
        </label>
        <button type="submit">Log in</button>
      </form>
      {problem && <p class="banner" role="alert">{problem}</p>}
      <p>
        <code>oneai ui</code> prints a code that works once, within ten minutes.
      </p>
    </main>
  );
}
