(* line_watch.ml - looks for a text in the lines of a stream

   Called by readiness.ml. The stream comes in pieces of any size. *)

type t = { text : string; line : Buffer.t  (* unfinished *) }

let longest = 8192
let make text = { text; line = Buffer.create 80 }

let contains line text =
  let n = String.length text in
  let rec at i =
    i + n <= String.length line && (String.sub line i n = text || at (i + 1))
  in
  at 0

let keep t data from n =
  Buffer.add_substring t.line data from
    (min n (longest - Buffer.length t.line))

let rec add_from t data from =
  match String.index_from_opt data from '\n' with
  | None ->
      keep t data from (String.length data - from);
      false
  | Some until ->
      keep t data from (until - from);
      let line = Buffer.contents t.line in
      Buffer.clear t.line;
      contains line t.text || add_from t data (until + 1)

let add t data = add_from t data 0
