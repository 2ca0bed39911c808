(* state_file.ml - what one life of a daemon tells the next, in a small file

   Called by loop.ml. Lines of words; the last one is a checksum of the rest:

       xlchild-supervisor 1
       boot BOOT
       run NAME RUN intended
       run NAME RUN living PID START ready|starting
       run NAME RUN over PID CAUSE ENDING
       run NAME RUN unknown
       sum MD5 *)

open Types

type stage =
  | Intended
  | Living of { pid : Xlchild.Pid.t; start_time : int; ready : bool }
  | Over of { pid : Xlchild.Pid.t; ending : ending; cause : cause }
  | Unknown

type entry = { name : string; run : string; stage : stage }
type contents = { boot : string; entries : entry list }

let header = "xlchild-supervisor 1"

let causes =
  [ (By_itself, "itself"); (Told_to, "told"); (Not_ready, "unready") ]

let losses =
  [
    (Not_told Stolen, "stolen");
    (Not_told Ignored, "ignored");
    (Not_told Not_passed, "unpassed");
    (Not_told Not_ours, "strange");
    (Not_told Number_reused, "reused");
    (Not_told Left, "left");
    (Not_told Never_ran, "never_ran");
    (While_away, "away");
    (Before_boot, "boot");
  ]

let word_of table value = List.assoc value table

let of_word table word =
  Option.map fst (List.find_opt (fun (_, text) -> text = word) table)

let words_of_ending = function
  | Status (Unix.WEXITED n) -> Printf.sprintf "exit %d" n
  | Status (Unix.WSIGNALED n) ->
      Printf.sprintf "signal %d" (Xlchild.system_signal n)
  | Status (Unix.WSTOPPED n) ->
      Printf.sprintf "stop %d" (Xlchild.system_signal n)
  | Lost lost -> "lost " ^ word_of losses lost

let line { name; run; stage } =
  Printf.sprintf "run %s %s %s\n" name run
    (match stage with
    | Intended -> "intended"
    | Unknown -> "unknown"
    | Living { pid; start_time; ready } ->
        Printf.sprintf "living %d %d %s"
          (pid :> int)
          start_time
          (if ready then "ready" else "starting")
    | Over { pid; ending; cause } ->
        Printf.sprintf "over %d %s %s"
          (pid :> int)
          (word_of causes cause) (words_of_ending ending))

let to_string { boot; entries } =
  let body =
    Printf.sprintf "%s\nboot %s\n%s" header boot
      (String.concat "" (List.map line entries))
  in
  Printf.sprintf "%ssum %s\n" body (Digest.to_hex (Digest.string body))

(* ---- and back ---- *)

let ( let* ) = Option.bind

let ending_of_words = function
  | [ "lost"; word ] -> Option.map (fun l -> Lost l) (of_word losses word)
  | [ kind; number ] -> (
      let* n = int_of_string_opt number in
      let signal = Xlchild.ocaml_signal n in
      match kind with
      | "exit" -> Some (Status (Unix.WEXITED n))
      | "signal" -> Some (Status (Unix.WSIGNALED signal))
      | "stop" -> Some (Status (Unix.WSTOPPED signal))
      | _ -> None)
  | _ -> None

let process_id text =
  let* pid = int_of_string_opt text in
  if pid > 1 then Some (Xlchild.Pid.of_int pid) else None

let stage_of_words = function
  | [ "intended" ] -> Some Intended
  | [ "unknown" ] -> Some Unknown
  | [ "living"; pid; start_time; readiness ] ->
      let* pid = process_id pid in
      let* start_time = int_of_string_opt start_time in
      let* ready =
        of_word [ (true, "ready"); (false, "starting") ] readiness
      in
      Some (Living { pid; start_time; ready })
  | "over" :: pid :: cause :: ending ->
      let* pid = process_id pid in
      let* cause = of_word causes cause in
      let* ending = ending_of_words ending in
      Some (Over { pid; ending; cause })
  | _ -> None

let entry_of_line text =
  match String.split_on_char ' ' text with
  | "run" :: name :: run :: stage ->
      let* stage = stage_of_words stage in
      Some { name; run; stage }
  | _ -> None

let after prefix text =
  let n = String.length prefix in
  if String.length text >= n && String.sub text 0 n = prefix then
    Some (String.sub text n (String.length text - n))
  else None

let sum_line = String.length "sum \n" + 32

(* The text without its last line, which has to be its checksum. *)
let checked text =
  let body = String.length text - sum_line in
  if body < 0 then None
  else
    let sum = Digest.to_hex (Digest.substring text 0 body) in
    if String.sub text body sum_line = Printf.sprintf "sum %s\n" sum then
      Some (String.sub text 0 body)
    else None

let of_string text =
  match Option.map (String.split_on_char '\n') (checked text) with
  | None -> Result.Error "it is damaged"
  | Some (first :: boot :: lines) when first = header -> (
      let lines = List.filter (( <> ) "") lines in
      let entries = List.filter_map entry_of_line lines in
      match after "boot " boot with
      | Some boot when List.length entries = List.length lines ->
          Ok { boot; entries }
      | Some _ | None -> Result.Error "it holds what this version cannot read")
  | Some _ -> Result.Error "another version wrote it"

let read folder name =
  let fd = Safe.open_file folder name [] in
  let file = Unix.in_channel_of_descr fd in
  Fun.protect
    ~finally:(fun () -> close_in file)
    (fun () -> really_input_string file (in_channel_length file))

let load_in folder name =
  match read folder name with
  | text -> Result.map Option.some (of_string text)
  | exception Unix.Unix_error (Unix.ENOENT, _, _) -> Ok None
  | exception (Sys_error _ | End_of_file | Unix.Unix_error _) ->
      Result.Error "it cannot be read"

let rec write_all fd text from =
  if from < String.length text then
    let n = Unix.write_substring fd text from (String.length text - from) in
    write_all fd text (from + n)

let save_in folder name contents =
  let next = name ^ ".new" in
  let fd = Safe.open_file folder next [ Read_write; Create; Truncate ] in
  Fun.protect
    ~finally:(fun () -> Unix.close fd)
    (fun () ->
      write_all fd (to_string contents) 0;
      Unix.fsync fd);
  Safe.rename folder next name

let in_folder_of path f =
  let folder = Safe.open_folder (Filename.dirname path) in
  Fun.protect
    ~finally:(fun () -> Safe.close_folder folder)
    (fun () -> f folder (Filename.basename path))

let load path = in_folder_of path load_in
let save path contents = in_folder_of path (fun f n -> save_in f n contents)
