// SPDX-License-Identifier: BSD-3-Clause
// Makes a key in the browser, has it certified by the CDA, and hands key and certificate over as a PKCS#12 file
// (RFC 7292: PBES2 with AES-256-CBC, HMAC-SHA-256). The key never leaves this page unencrypted.

const subtle = crypto.subtle;
const ROUNDS = 20000;

// --- DER (X.690) ---

function join(...parts) {
  const flat = parts.map((part) => new Uint8Array(part));
  const whole = new Uint8Array(flat.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of flat) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function der(tag, ...parts) {
  const value = join(...parts);
  const length = [];
  if (value.length < 128) length.push(value.length);
  else {
    for (let rest = value.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
    length.unshift(0x80 | length.length);
  }
  return join([tag, ...length], value);
}

const sequence = (...parts) => der(0x30, ...parts);
const set = (...parts) => der(0x31, ...parts);
const octets = (value) => der(0x04, value);
const explicit = (number, ...parts) => der(0xa0 + number, ...parts);
const nothing = () => der(0x05);
const text = (value) => der(0x0c, new TextEncoder().encode(value));
const bits = (value) => der(0x03, [0], value);

function integer(value) {
  let bytes = typeof value === "number" ? [] : [...value];
  for (let rest = value; typeof value === "number" && (rest > 0 || !bytes.length); rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  while (bytes.length > 1 && bytes[0] === 0) bytes.shift();
  if (bytes[0] & 0x80) bytes.unshift(0);
  return der(0x02, bytes);
}

function oid(dotted) {
  const [first, second, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (let number of rest) {
    const group = [number & 0x7f];
    while ((number = Math.floor(number / 128)) > 0) group.unshift(0x80 | (number & 0x7f));
    bytes.push(...group);
  }
  return der(0x06, bytes);
}

// --- PKCS#10 (RFC 2986) ---

async function request(keys, name) {
  const publicKey = new Uint8Array(await subtle.exportKey("spki", keys.publicKey));
  const subject = sequence(set(sequence(oid("2.5.4.3"), text(name))));
  const info = sequence(integer(0), subject, publicKey, explicit(0));
  const raw = new Uint8Array(await subtle.sign({ name: "ECDSA", hash: "SHA-256" }, keys.privateKey, info));
  const signature = sequence(integer(raw.slice(0, 32)), integer(raw.slice(32)));
  return sequence(info, sequence(oid("1.2.840.10045.4.3.2")), bits(signature));
}

// --- PKCS#12 (RFC 7292) ---

async function encrypt(content, password) {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const iv = crypto.getRandomValues(new Uint8Array(16));
  const base = await subtle.importKey("raw", new TextEncoder().encode(password), "PBKDF2", false, ["deriveKey"]);
  const key = await subtle.deriveKey(
    { name: "PBKDF2", salt, iterations: ROUNDS, hash: "SHA-256" }, base, { name: "AES-CBC", length: 256 }, false, ["encrypt"],
  );
  const encrypted = new Uint8Array(await subtle.encrypt({ name: "AES-CBC", iv }, key, content));
  const kdf = sequence(oid("1.2.840.113549.1.5.12"), sequence(octets(salt), integer(ROUNDS), integer(32), sequence(oid("1.2.840.113549.2.9"), nothing())));
  const cipher = sequence(oid("2.16.840.1.101.3.4.1.42"), octets(iv));
  return [sequence(oid("1.2.840.113549.1.5.13"), sequence(kdf, cipher)), encrypted];
}

function bmp(value) {
  const bytes = [];
  for (let i = 0; i < value.length; i++) bytes.push(value.charCodeAt(i) >> 8, value.charCodeAt(i) & 0xff);
  return new Uint8Array([...bytes, 0, 0]);
}

// The key derivation of appendix B.2, for the MAC: PBKDF2 is not what readers expect there.
async function macKey(password, salt) {
  const block = 64;
  const fill = (value) => Uint8Array.from({ length: Math.ceil(value.length / block) * block }, (_, i) => value[i % value.length]);
  let digest = join(new Uint8Array(block).fill(3), fill(salt), fill(bmp(password)));
  for (let i = 0; i < ROUNDS; i++) digest = new Uint8Array(await subtle.digest("SHA-256", digest));
  return digest;
}

async function pkcs12(keys, certificate, ca, name, password) {
  const DATA = oid("1.2.840.113549.1.7.1");
  const id = new Uint8Array(await subtle.digest("SHA-1", certificate));
  const attributes = set(
    sequence(oid("1.2.840.113549.1.9.20"), set(der(0x1e, bmp(name).slice(0, -2)))),
    sequence(oid("1.2.840.113549.1.9.21"), set(octets(id))),
  );
  const certBag = (value, ...more) => sequence(
    oid("1.2.840.113549.1.12.10.1.3"), explicit(0, sequence(oid("1.2.840.113549.1.9.22.1"), explicit(0, octets(value)))), ...more,
  );
  const [how, locked] = await encrypt(new Uint8Array(await subtle.exportKey("pkcs8", keys.privateKey)), password);
  const keyBag = sequence(oid("1.2.840.113549.1.12.10.1.2"), explicit(0, sequence(how, octets(locked))), attributes);
  const plain = (content) => sequence(DATA, explicit(0, octets(content)));
  const safe = sequence(plain(sequence(certBag(certificate, attributes), certBag(ca))), plain(sequence(keyBag)));
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const hmac = await subtle.importKey("raw", await macKey(password, salt), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const mac = new Uint8Array(await subtle.sign("HMAC", hmac, safe));
  const digest = sequence(sequence(oid("2.16.840.1.101.3.4.2.1"), nothing()), octets(mac));
  return sequence(integer(3), plain(safe), sequence(digest, octets(salt), integer(ROUNDS)));
}

// --- The form ---

const encode = (bytes) => btoa(String.fromCharCode(...bytes));
const decode = (value) => Uint8Array.from(atob(value), (letter) => letter.charCodeAt(0));

const form = document.querySelector("[data-make-certificate]");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  event.stopPropagation();
  const status = form.querySelector("[role=status]");
  const button = form.querySelector("button");
  const say = (word, bad = false) => {
    status.textContent = word;
    status.hidden = false;
    status.classList.toggle("bad", bad);
  };
  const password = form.elements.passphrase.value;
  if (password !== form.elements.again_passphrase.value) return say(form.dataset.differ, true);
  button.disabled = true;
  say(form.dataset.working);
  try {
    const keys = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const sent = new URLSearchParams({ csrf: form.elements.csrf.value, csr: encode(await request(keys, form.dataset.user)), hours: form.elements.hours.value });
    const answer = await fetch("/me/certificate", { method: "POST", body: sent });
    const issued = await answer.json();
    if (!answer.ok) throw new Error(issued.hint ? `${issued.message}. ${issued.hint}` : issued.message);
    const file = await pkcs12(keys, decode(issued.certificate), decode(issued.ca), form.dataset.name, password);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([file], { type: "application/x-pkcs12" }));
    link.download = `${form.dataset.name}.p12`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    form.reset();
    say(form.dataset.done);
  } catch (error) {
    say(error.message, true);
  }
  button.disabled = false;
});
