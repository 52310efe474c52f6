
// What people read, by language. `{provider}` is the provider's name; nothing else is put in.
const WORDS = {
  en: {
    connected: "{provider} is connected.",
    reconnect_needed: "{provider} is disconnected. Please reconnect.",
    waiting: "{provider} has trouble just now. It is tried again by itself.",
    operator: "{provider} can't be used just now. Whoever runs this knows; you need not do anything.",
    disconnected: "{provider} is not connected.",
    reconnect: "Reconnect",
    title: "Connections",
    all_good: "Everything is connected.",
    nothing: "Nothing is connected yet.",
    needs_you: "A connection needs you.",
    need_you: "Several connections need you.",
    not_all: "Not everything works just now. You need not do anything.",
    loading: "Looking at your connections…",
    unknown: "Your connections can't be shown just now. We keep trying.",
  },
  de: {
    connected: "{provider} ist verbunden.",
    reconnect_needed: "{provider} ist getrennt. Bitte verbinden Sie neu.",
    waiting: "{provider} macht gerade Schwierigkeiten. Wir versuchen es von selbst wieder.",
    operator: "{provider} ist gerade nicht nutzbar. Der Betreiber weiß davon; Sie müssen nichts tun.",
    disconnected: "{provider} ist nicht verbunden.",
    reconnect: "Neu verbinden",
    title: "Verbindungen",
    all_good: "Alles ist verbunden.",
    nothing: "Noch ist nichts verbunden.",
    needs_you: "Eine Verbindung braucht Sie.",
    need_you: "Mehrere Verbindungen brauchen Sie.",
    not_all: "Gerade funktioniert nicht alles. Sie müssen nichts tun.",
    loading: "Ihre Verbindungen werden geprüft …",
    unknown: "Ihre Verbindungen können gerade nicht gezeigt werden. Wir versuchen es weiter.",
  },
  es: {
    connected: "{provider} está conectado.",
    reconnect_needed: "{provider} está desconectado. Vuelva a conectarlo, por favor.",
    waiting: "{provider} tiene dificultades ahora mismo. Lo reintentamos automáticamente.",
    operator: "{provider} no se puede usar ahora mismo. El responsable ya lo sabe; usted no tiene que hacer nada.",
    disconnected: "{provider} no está conectado.",
    reconnect: "Volver a conectar",
    title: "Conexiones",
    all_good: "Todo está conectado.",
    nothing: "Todavía no hay nada conectado.",
    needs_you: "Una conexión le necesita.",
    need_you: "Varias conexiones le necesitan.",
    not_all: "Ahora mismo no funciona todo. Usted no tiene que hacer nada.",
    loading: "Comprobando sus conexiones…",
    unknown: "Ahora mismo no se pueden mostrar sus conexiones. Lo seguimos intentando.",
  },
};

// The first of these languages that there are words for ("de-CH" counts as "de"), else English.
const languageOf = (wanted) => {
  const known = wanted.map((tag) => String(tag || "").toLowerCase().split("-")[0]).find((tag) => Object.hasOwn(WORDS, tag));
  return known || "en";
};

// What is the matter with a connection, as one of the words above.
const stateOf = (item) => {
  if (item.action === "reconnect") return "reconnect_needed";
  if (item.action === "fix_integration" || item.action === "contact_support") return "operator";
  if (item.action === "wait" || item.action === "retry") return "waiting";
  return item.connected ? "connected" : "disconnected";
};

// The service's own sentence says more than these, where it is in the language of the page: a person whose mails are in
// another one may have told the service so.
const sentenceOf = (item, language, said) =>
  said === language && item.message
    ? item.message
    : WORDS[language][stateOf(item)].replace("{provider}", () => String(item.provider));
