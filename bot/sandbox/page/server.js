// The sandbox's HTTP API. Everything the page does, another program can do the same way (docs/sandbox.md).
export async function get(path, query = {}) {
  try {
    return await (await fetch(`/sandbox/${path}?` + new URLSearchParams(query))).json();
  } catch {
    return { ok: false, error: "The sandbox does not answer." };
  }
}

export async function post(path, body) {
  try {
    const answer = await fetch(`/sandbox/${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    return await answer.json();
  } catch {
    return { ok: false, error: "The sandbox does not answer." };
  }
}

export async function contents(file) {
  return (await fetch(`/sandbox/files/${file}`)).text();
}
