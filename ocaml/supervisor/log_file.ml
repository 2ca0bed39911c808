(* log_file.ml - a log file that is rotated by size

   Called by sink.ml. [path] is the newest, then [path.1] to [path.keep]. *)

type t = {
  path : string;
  most : int;
  keep : int;
  mutable fd : Unix.file_descr option;  (* none after an error *)
  mutable size : int;
  mutable regular : bool;  (* what is not, a terminal say, is never moved *)
  mutable unfinished : int;  (* bytes after the last newline *)
  tail : Buffer.t;  (* those bytes, unless they are too many *)
}

let longest_tail = 65536

let opened t =
  match t.fd with
  | Some fd -> fd
  | None ->
      let fd = Safe.open_log t.path in
      t.fd <- Some fd;
      let { Unix.st_size; st_kind; _ } = Unix.fstat fd in
      t.size <- st_size;
      t.regular <- st_kind = Unix.S_REG;
      fd

let close t =
  let fd = t.fd in
  t.fd <- None;
  Option.iter Unix.close fd

let open_ ~path ~most ~keep =
  let t =
    {
      path;
      most;
      keep;
      fd = None;
      size = 0;
      regular = true;
      unfinished = 0;
      tail = Buffer.create 80;
    }
  in
  ignore (opened t);
  t

let reopen t =
  close t;
  ignore (opened t)

let rotate t =
  let numbered i = Printf.sprintf "%s.%d" t.path i in
  let move older newer =
    try Unix.rename older newer
    with Unix.Unix_error (Unix.ENOENT, _, _) -> ()
  in
  let rec make_room i =
    if i < t.keep && Sys.file_exists (numbered i) then begin
      make_room (i + 1);
      move (numbered i) (numbered (i + 1))
    end
  in
  close t;
  make_room 1;
  if t.keep > 0 then move t.path (numbered 1)
  else (try Unix.unlink t.path with Unix.Unix_error (Unix.ENOENT, _, _) -> ());
  ignore (opened t)

let note t data from until =
  let line =
    match String.rindex_from_opt data (until - 1) '\n' with
    | Some i when i >= from ->
        Buffer.clear t.tail;
        t.unfinished <- 0;
        i + 1
    | _ -> from
  in
  t.size <- t.size + until - from;
  t.unfinished <- t.unfinished + until - line;
  if t.unfinished > longest_tail then Buffer.reset t.tail
  else Buffer.add_substring t.tail data line (until - line)

(* A short write is a disk that is filling up: the next one says so. *)
let rec write t data from until =
  if from < until then begin
    let n = Unix.write_substring (opened t) data from (until - from) in
    note t data from (from + n);
    write t data (from + n) until
  end

(* The beginning of a line that does not fit goes with its rest. *)
let rotate_between_lines t =
  let carried = Buffer.contents t.tail in
  if carried <> "" then
    Unix.ftruncate (opened t) (t.size - String.length carried);
  rotate t;
  Buffer.clear t.tail;
  t.unfinished <- 0;
  write t carried 0 (String.length carried)

(* Where the last line that fits into [room] bytes ends; [from]: none does. *)
let end_of_lines data from room =
  let until = String.length data in
  if until - from <= room then until
  else
    match String.rindex_from_opt data (from + room - 1) '\n' with
    | Some i when i >= from -> i + 1
    | _ -> from

let rec add_from t data from =
  ignore (opened t);
  if from < String.length data then begin
    let room = if t.regular then max 0 (t.most - t.size) else max_int in
    let fits = end_of_lines data from room in
    if fits > from then begin
      write t data from fits;
      add_from t data fits
    end
    else if t.unfinished < t.size then begin
      rotate_between_lines t;
      add_from t data from
    end
    else begin
      (* a line longer than a file is cut *)
      write t data from (from + room);
      rotate t;
      add_from t data (from + room)
    end
  end

let add t data = add_from t data 0
let end_line t = if t.unfinished > 0 then add t "\n"
