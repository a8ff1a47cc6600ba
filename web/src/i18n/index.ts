// Languages: texts, plurals, dates and the writing direction. English is part of the initial bundle; others load when
// they are chosen.
import { createElement, createContext, type ReactNode, useContext, useEffect, useMemo, useState } from "react";
import { en, type Texts } from "./en";

export const LANGUAGES = { en: "English", de: "Deutsch", ar: "العربية" } as const;
export type Language = keyof typeof LANGUAGES;
type Key = keyof Texts;
export type Translate = (key: Key, values?: Record<string, string | number>) => string;

const STORED = "language";
const LOADERS: Record<Exclude<Language, "en">, () => Promise<Texts>> = {
  de: async () => (await import("./de")).de,
  ar: async () => (await import("./ar")).ar,
};

export interface I18n {
  language: Language;
  t: Translate;
  setLanguage(language: Language): void;
  time(timestamp: string): string;
  /** `Today`, `Yesterday`, a weekday, or a date. */
  day(timestamp: string): string;
  /** Short enough for a list. */
  short(timestamp: string): string;
  dateTime(timestamp: string): string;
  list(names: string[]): string;
}

export function chosenLanguage(): Language {
  const wanted = [localStorage.getItem(STORED) ?? "", ...navigator.languages.map((tag) => tag.slice(0, 2))];
  return (wanted.find((language) => language in LANGUAGES) ?? "en") as Language;
}

export async function loadTexts(language: Language): Promise<Texts> {
  return language === "en" ? en : await LOADERS[language]();
}

function translator(language: Language, texts: Texts): Translate {
  const rules = new Intl.PluralRules(language);
  const numbers = new Intl.NumberFormat(language);
  return (key, values = {}) => {
    const text = texts[key];
    const form = typeof text === "string" ? text : (text[rules.select(Number(values["count"]))] ?? text.other);
    return form.replace(/\{(\w+)\}/g, (whole, name: string) => {
      const value = values[name];
      return typeof value === "number" ? numbers.format(value) : (value ?? whole);
    });
  };
}

function dayNumber(date: Date): number {
  return Math.floor((date.getTime() - date.getTimezoneOffset() * 60_000) / 86_400_000);
}

export function createI18n(language: Language, texts: Texts, setLanguage: (language: Language) => void): I18n {
  // Uses the conventions of the user's country if the user's browser has this language.
  const locale = navigator.languages.find((tag) => tag.split("-")[0] === language) ?? language;
  const format = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(locale, options);
  const time = format({ hour: "numeric", minute: "2-digit" });
  const weekday = format({ weekday: "long" });
  const date = format({ day: "numeric", month: "long" });
  const dated = format({ day: "numeric", month: "long", year: "numeric" });
  const shortDate = format({ day: "numeric", month: "short" });
  const shortDated = format({ day: "numeric", month: "numeric", year: "2-digit" });
  const full = format({ dateStyle: "full", timeStyle: "short" });
  const names = new Intl.ListFormat(language, { type: "conjunction" });
  const t = translator(language, texts);
  const age = (then: Date) => dayNumber(new Date()) - dayNumber(then);
  return {
    language,
    t,
    setLanguage,
    time: (timestamp) => time.format(new Date(timestamp)),
    day(timestamp) {
      const then = new Date(timestamp);
      const days = age(then);
      if (days === 0) return t("today");
      if (days === 1) return t("yesterday");
      if (days > 1 && days < 7) return weekday.format(then);
      return (then.getFullYear() === new Date().getFullYear() ? date : dated).format(then);
    },
    short(timestamp) {
      const then = new Date(timestamp);
      const days = age(then);
      if (days <= 0) return time.format(then);
      if (days === 1) return t("yesterday");
      return (then.getFullYear() === new Date().getFullYear() ? shortDate : shortDated).format(then);
    },
    dateTime: (timestamp) => full.format(new Date(timestamp)),
    list: (list) => names.format(list),
  };
}

const Context = createContext<I18n>(createI18n("en", en, () => {}));

/** Texts for everything below; the first ones are passed in, so that nothing flashes. */
export function I18nProvider({ initial, children }: { initial: [Language, Texts]; children: ReactNode }) {
  const [[language, texts], setLoaded] = useState(initial);
  const i18n = useMemo(() => {
    return createI18n(language, texts, (next) => {
      localStorage.setItem(STORED, next);
      void loadTexts(next).then((loaded) => setLoaded([next, loaded]));
    });
  }, [language, texts]);

  useEffect(() => {
    document.documentElement.lang = language;
    document.documentElement.dir = language === "ar" ? "rtl" : "ltr";
  }, [language]);
  return createElement(Context.Provider, { value: i18n }, children);
}

export function useI18n(): I18n {
  return useContext(Context);
}
