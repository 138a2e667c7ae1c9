/** The vocabulary of the tiny model: special tokens, all bytes, printable ASCII, and every prefix of some common words. */

/** Common short English words; what the tiny model speaks in. */
const WORDS = `
  a able about after again all also and any are as ask at back be because been before best both bring but by call can
  come could day did do down each even every fact far few find first for found four from gave get give go good great
  group had has have he help her here high him his hold home house how idea if in into is it its just keep kind know
  large last late learn leave less life light like line little long look made make man many may mean me might more most
  move much must my name near need never new next night no not now of off often old on one only open or other our out
  over own part people place plan point put read right room run said same say see seem set she should show side small so
  some start state still such take talk tell than that the their them then there these they thing think this those time
  to too try turn two under until up us use very want was water way we week well went were what when where which while
  who why will with word work world would write year yes you your`
  .trim()
  .split(/\s+/);

/** SentencePiece token types as llama.cpp stores them (LLAMA_TOKEN_TYPE_*). */
const KIND = { normal: 1, unknown: 2, control: 3, byte: 6 } as const;

/** SentencePiece's stand-in for a space. */
const SPACE = "\u2581";

/** Single characters are joined only after every longer piece had its chance. */
const CHARACTER_SCORE = -1000;

export const SPECIAL = { unknown: 0, begin: 1, end: 2, messageStart: 3, messageEnd: 4 } as const;

export interface TinyVocabulary {
  readonly tokens: readonly string[];
  readonly scores: readonly number[];
  readonly kinds: readonly number[];
  /** Ids of whole words, each with its leading space. */
  readonly words: ReadonlySet<number>;
  /** Id of a printable ASCII character's token. */
  idOf(character: string): number;
}

/**
 * Every prefix of a word is a token, and shorter ones score higher, so that the tokenizer's greedy merges build each word
 * letter by letter: tokenising a generated text gives back the very tokens that made it.
 */
export function tinyVocabulary(): TinyVocabulary {
  const tokens: string[] = [];
  const scores: number[] = [];
  const kinds: number[] = [];
  const ids = new Map<string, number>();
  const add = (token: string, score: number, kind: number): number => {
    const known = ids.get(token);
    if (known !== undefined) return known;
    ids.set(token, tokens.length);
    scores.push(score);
    kinds.push(kind);
    return tokens.push(token) - 1;
  };
  add("<unk>", 0, KIND.unknown);
  for (const special of ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]) add(special, 0, KIND.control);
  for (let byte = 0; byte < 256; byte++) {
    add(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, 0, KIND.byte);
  }
  add(SPACE, CHARACTER_SCORE, KIND.normal);
  for (let code = 33; code < 127; code++) add(String.fromCharCode(code), CHARACTER_SCORE, KIND.normal);
  const words = new Set(WORDS.map((word) => addPrefixes(word, add)));
  return { tokens, scores, kinds, words, idOf: (character) => ids.get(character) ?? SPECIAL.unknown };
}

/** Adds every prefix of the word and gives the id of the whole. */
function addPrefixes(word: string, add: (token: string, score: number, kind: number) => number): number {
  let id = SPECIAL.unknown as number;
  for (let length = 1; length <= word.length; length++) {
    id = add(SPACE + word.slice(0, length), -length, KIND.normal);
  }
  return id;
}
