// SPDX-License-Identifier: BSD-3-Clause
// What the pages cannot do without a script. Everything else works without one.

const root = document.documentElement;

document.querySelector("[data-theme-switch]")?.addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `theme=${root.dataset.theme}; Path=/; Secure; SameSite=Lax; Max-Age=31536000`;
});

document.querySelector("[data-menu]")?.addEventListener("click", (event) => {
  const open = document.getElementById("side").classList.toggle("open");
  event.currentTarget.setAttribute("aria-expanded", String(open));
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  event.target.closest("[data-closes]")?.closest("dialog").close();
  for (const menu of document.querySelectorAll("details.user[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.user[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented) return;
  const form = event.target;
  if (form.dataset.sent) return event.preventDefault();
  if (form.method === "post") form.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// A form that asks whether something has happened elsewhere is sent again by itself.
for (const form of document.querySelectorAll("[data-again]")) {
  setTimeout(() => form.requestSubmit(), Number(form.dataset.again) * 1000);
}

// A button that needs no value in a field that the others need.
for (const button of document.querySelectorAll("[data-without]")) {
  button.addEventListener("click", () => { button.form.elements[button.dataset.without].required = false; });
}

// Text from the clipboard button's neighbour.
for (const button of document.querySelectorAll("[data-copies]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent.trim());
    button.textContent = button.dataset.done;
  });
}

// Live parts: the server sends them whole, already escaped, when they have changed.
for (const part of document.querySelectorAll("[data-live]")) {
  const light = document.querySelector(".live");
  const source = new EventSource(part.dataset.live);
  source.addEventListener("open", () => light?.classList.remove("away"));
  source.addEventListener("error", () => light?.classList.add("away"));
  source.addEventListener("part", (event) => {
    if (!part.contains(document.activeElement)) part.innerHTML = event.data;
  });
  source.addEventListener("over", () => location.reload());
}

// Signing in by certificate: the browser shows it to the CDA, which gives VOLife a short one for a key of its own.
for (const form of document.querySelectorAll("[data-certificate]")) {
  const trouble = form.querySelector("[data-trouble]");
  form.querySelector("[data-show-certificate]").addEventListener("click", async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    trouble.hidden = true;
    try {
      const answer = await fetch(`${form.dataset.door}/CDA/delegate`, {
        method: "POST",
        credentials: "include",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ csr: form.dataset.csr, hours: Number(form.dataset.hours) }),
      });
      const issued = await answer.json();
      if (answer.status === 401) throw new Error(trouble.dataset.none);
      if (!answer.ok) throw Object.assign(new Error(issued.message), { hint: issued.hint });
      form.elements.certificate.value = issued.certificate;
      form.requestSubmit();
    } catch (error) {
      const hint = trouble.querySelector("[data-hint]");
      trouble.querySelector("[data-what]").textContent = error.message;
      hint.textContent = error.hint || hint.dataset.none;
      trouble.hidden = false;
    }
    button.disabled = false;
  });
}

if (document.querySelector("[data-make-certificate]")) import(document.querySelector("[data-make-certificate]").dataset.script);
