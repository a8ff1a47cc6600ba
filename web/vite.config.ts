// Builds the web client with the SDK from its sources, the emoji data, and compressed copies of text files.
import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const SDK = join(import.meta.dirname, "../sdk/src");
const EMOJI = join(import.meta.dirname, "node_modules/emojibase-data");
const EMOJI_LANGUAGES = ["en", "de"];
const COMPRESSED = /\.(html|js|css|json|svg|webmanifest)$/;
/** A server to proxy to while developing: `CHAT_SERVER=http://127.0.0.1:8080 npm run dev`. */
const SERVER = process.env["CHAT_SERVER"] ?? "http://127.0.0.1:8080";

/** The emoji picker's data, which it would otherwise fetch from a CDN. */
function emojiData(): Plugin {
  return {
    name: "emoji-data",
    apply: "build",
    writeBundle({ dir }) {
      for (const language of EMOJI_LANGUAGES) {
        for (const file of ["data.json", "messages.json"]) {
          cpSync(join(EMOJI, language, file), join(dir ?? "dist", "emoji", language, file));
        }
      }
    },
  };
}

/** `.br` and `.gz` beside every text file, so that the server never compresses. */
function compressed(): Plugin {
  const compress = (folder: string) => {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      if (statSync(path).isDirectory()) compress(path);
      else if (COMPRESSED.test(name)) {
        const body = readFileSync(path);
        const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: body.length };
        writeFileSync(`${path}.br`, brotliCompressSync(body, { params }));
        writeFileSync(`${path}.gz`, gzipSync(body, { level: 9 }));
      }
    }
  };
  return {
    name: "compressed",
    apply: "build",
    enforce: "post",
    closeBundle: () => compress(join(import.meta.dirname, "dist")),
  };
}

export default defineConfig({
  plugins: [react(), emojiData(), compressed()],
  resolve: {
    alias: [
      { find: /^@elitescore\/chat$/, replacement: join(SDK, "index.ts") },
      { find: "@elitescore/chat/persist", replacement: join(SDK, "persist.ts") },
      { find: "@elitescore/chat/store", replacement: join(SDK, "store.ts") },
      { find: "@elitescore/chat/react", replacement: join(SDK, "react.tsx") },
    ],
    dedupe: ["react", "react-dom"],
  },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    // The policy allows no `data:` scripts or styles, and images are few.
    assetsInlineLimit: 0,
  },
  server: {
    proxy: {
      "/api": SERVER,
      "/web.json": SERVER,
      "/ws": { target: SERVER, ws: true },
    },
  },
});
