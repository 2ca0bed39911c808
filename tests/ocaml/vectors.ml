(* vectors.ml - reading tests/vectors/*.tsv (see the README.md there) *)

let read name =
  let file =
    open_in_bin (Filename.concat Support.root ("tests/vectors/" ^ name))
  in
  let rec rows acc =
    match input_line file with
    | exception End_of_file -> List.rev acc
    | "" -> rows acc
    | line when line.[0] = '#' -> rows acc
    | line -> rows (String.split_on_char '\t' line :: acc)
  in
  Fun.protect ~finally:(fun () -> close_in file) (fun () -> rows [])

(* What {dir}, {cwd} stand for. *)
type places = { dir : string }

let pattern n = String.init n (fun i -> Char.chr (Char.code 'a' + (i mod 26)))

let replace_all ~what ~by text =
  let n = String.length what in
  let b = Buffer.create (String.length text) in
  let i = ref 0 in
  while !i < String.length text do
    if !i + n <= String.length text && String.sub text !i n = what then begin
      Buffer.add_string b by;
      i := !i + n
    end
    else begin
      Buffer.add_char b text.[!i];
      incr i
    end
  done;
  Buffer.contents b

let unescape text =
  let b = Buffer.create (String.length text) in
  let rec go i =
    if i < String.length text then
      if text.[i] <> '\\' then begin
        Buffer.add_char b text.[i];
        go (i + 1)
      end
      else
        match text.[i + 1] with
        | 'n' -> put '\n' i
        | 't' -> put '\t' i
        | 'r' -> put '\r' i
        | '\\' -> put '\\' i
        | '0' -> put '\000' i
        | 's' -> put ' ' i
        | 'e' -> go (i + 2)
        | 'x' ->
            Buffer.add_char b
              (Char.chr (int_of_string ("0x" ^ String.sub text (i + 2) 2)));
            go (i + 4)
        | c -> Alcotest.failf "escape \\%c" c
  and put c i =
    Buffer.add_char b c;
    go (i + 2)
  in
  go 0;
  Buffer.contents b

let text places s =
  if s <> "" && s.[0] = '@' then
    match String.index_opt s '*' with
    | Some i ->
        String.make
          (int_of_string (String.sub s 1 (i - 1)))
          s.[i + 1]
    | None -> pattern (int_of_string (String.sub s 1 (String.length s - 1)))
  else
    unescape s
    |> replace_all ~what:"{child}" ~by:Support.child
    |> replace_all ~what:"{tiny}" ~by:Support.tiny
    |> replace_all ~what:"{dir}" ~by:places.dir
    |> replace_all ~what:"{cwd}" ~by:(Unix.realpath ".")

let raw_words s = String.split_on_char ' ' s |> List.filter (( <> ) "")
let words places s = List.map (text places) (raw_words s)

(* A column that may be "-". *)
let optional places s = if s = "-" then None else Some (text places s)

let signal_names =
  Sys.
    [
      ("SIGHUP", sighup); ("SIGINT", sigint); ("SIGQUIT", sigquit);
      ("SIGILL", sigill); ("SIGTRAP", sigtrap); ("SIGABRT", sigabrt);
      ("SIGBUS", sigbus); ("SIGFPE", sigfpe); ("SIGKILL", sigkill);
      ("SIGUSR1", sigusr1); ("SIGSEGV", sigsegv); ("SIGUSR2", sigusr2);
      ("SIGPIPE", sigpipe); ("SIGALRM", sigalrm); ("SIGTERM", sigterm);
      ("SIGXCPU", sigxcpu); ("SIGVTALRM", sigvtalrm); ("SIGPROF", sigprof);
      ("SIGSYS", sigsys); ("SIGCHLD", sigchld); ("SIGCONT", sigcont);
      ("SIGSTOP", sigstop);
    ]

(* OCaml's number for a name; a number is the system's. *)
let signal s =
  match List.assoc_opt s signal_names with
  | Some n -> n
  | None -> Xlchild.ocaml_signal (int_of_string s)

(* What [kind] and [value] say of an end. *)
let expected kind value =
  match kind with
  | "exit" -> "exit " ^ value
  | "signal" -> Printf.sprintf "signal %d" (signal value)
  | _ -> Alcotest.failf "kind %s" kind

(* ---- settings ---- *)

exception Cannot_say of string
(* the types of this language have no form for it *)

external fd_of_int : int -> Unix.file_descr = "%identity"
external int_of_fd : Unix.file_descr -> int = "%identity"

let resources =
  [
    ("CPU", 0); ("FSIZE", 1); ("DATA", 2); ("STACK", 3); ("CORE", 4);
    ("NPROC", 6); ("NOFILE", 7); ("MEMLOCK", 8); ("AS", 9);
  ]

(* Records by hand: what the helpers refuse, the library has to. *)

let rlimit s =
  match String.split_on_char ':' s with
  | [ name; soft; hard ] ->
      let limit = function "inf" -> -1 | n -> int_of_string n in
      ({
        Xlchild.resource =
          (match List.assoc_opt name resources with
          | Some n -> n
          | None -> int_of_string name);
        soft = limit soft;
        hard = limit hard;
      } [@alert "-deprecated"])
  | _ -> Alcotest.failf "rlimit %s" s

let fd_entry s =
  match String.split_on_char ':' s with
  | [ target; source ] ->
      ( int_of_string target,
        match source with
        | "null" -> Xlchild.Null
        | "closed" -> Xlchild.Closed_fd
        | n -> Xlchild.Fd (fd_of_int (int_of_string n)) )
  | _ -> Alcotest.failf "fds %s" s

let kill_policy s =
  match String.split_on_char ':' s with
  | [ signo; grace; scope ] ->
      ({
        Xlchild.first_signal = (if signo = "0" then 0 else signal signo);
        grace_ms = int_of_string grace;
        scope =
          (match scope with
          | "process" -> Xlchild.Process
          | "group" -> Xlchild.Process_group
          | "cgroup" -> Xlchild.Control_group
          | s -> Alcotest.failf "scope %s" s);
      } [@alert "-deprecated"])
  | _ -> Alcotest.failf "kill %s" s

(* settings and verbs as a command; extra entries for the descriptor map *)
let command places ?(program = Support.child) ?(verbs = []) ?(more_fds = [])
    settings =
  let list =
    if settings = "-" then []
    else
      List.map
        (fun s ->
          match String.index_opt s '=' with
          | Some i ->
              ( String.sub s 0 i,
                String.sub s (i + 1) (String.length s - i - 1) )
          | None -> Alcotest.failf "setting %s" s)
        (String.split_on_char ';' settings)
  in
  let find name = List.assoc_opt name list in
  let text_of name = Option.map (text places) (find name) in
  let int_of name =
    Option.map (fun s -> int_of_string (text places s)) (find name)
  in
  let words_of name = Option.map (words places) (find name) in
  let flags = Option.value (Option.map raw_words (find "flags")) ~default:[] in
  let flag name = List.mem name flags in
  List.iter
    (fun f ->
      match f with
      | "SEARCH_PATH" | "NEW_SESSION" | "NEW_GROUP" | "JOIN_GROUP"
      | "KEEP_FDS" | "KEEP_SIGMASK" | "KEEP_SIGIGN" | "IGNORE_SIGPIPE"
      | "REPORT_STOPS" | "SET_CTTY" ->
          ()
      | f -> raise (Cannot_say ("flags are a type: " ^ f)))
    flags;
  let program, arguments =
    match words_of "argv" with
    | Some [] | Some [ "" ] -> raise (Cannot_say "a program is not optional")
    | Some (program :: arguments) -> (program, arguments)
    | None -> (program, verbs)
  in
  let session =
    match (flag "JOIN_GROUP", flag "NEW_GROUP", flag "NEW_SESSION") with
    | true, false, false -> (
        match Xlchild.Pid.of_int (Option.value (int_of "group") ~default:0) with
        | leader -> Xlchild.Join_group leader
        | exception Invalid_argument _ ->
            raise (Cannot_say "a pid refuses it when it is made"))
    | false, true, false -> New_group
    | false, false, true -> New_session
    | false, false, false -> Same_session
    | _ -> raise (Cannot_say "a session is one of several")
  in
  let fds =
    try
      Xlchild.Fd_map.of_list
        (more_fds
        @ List.map fd_entry (Option.value (words_of "fds") ~default:[]))
    with Invalid_argument _ ->
      raise (Cannot_say "a descriptor map refuses it when it is made")
  in
  if find "on_free" <> None then raise (Cannot_say "on_close is a type");
  if find "exited_grace_ms" = Some "-1" then
    raise (Cannot_say "-1 is the default here");
  if find "pdeathsig" = Some "-1" then
    raise (Cannot_say "-1 is SIGABRT in OCaml");
  if find "kill" = Some "-1:0:process" then
    raise (Cannot_say "-1 is SIGABRT in OCaml");
  let flag_list =
    List.filter_map
      (fun (name, f) -> if flag name then Some f else None)
      [
        ("KEEP_FDS", Xlchild.Keep_fds); ("KEEP_SIGMASK", Keep_sigmask);
        ("KEEP_SIGIGN", Keep_sigign); ("IGNORE_SIGPIPE", Ignore_sigpipe);
        ("REPORT_STOPS", Report_stops);
      ]
  in
  Xlchild.command ?path:(text_of "path") ~search:(flag "SEARCH_PATH")
    ?search_path:(text_of "search_path")
    ?env:
      (Option.map
         (fun s -> if s = "\\e" then [] else words places s)
         (find "env"))
    ?cwd:(text_of "cwd") ~fds ~flags:flag_list ~session
    ?ctty:
      (if flag "SET_CTTY" then
       Some (fd_of_int (Option.value (int_of "ctty_fd") ~default:(-1)))
      else None)
    ?uid:(int_of "uid") ?gid:(int_of "gid")
    ?groups:
      (Option.map
         (fun s ->
           if s = "\\e" then []
           else List.map int_of_string (words places s))
         (find "groups"))
    ?umask:
      (Option.map
         (fun s -> int_of_string ("0o" ^ s))
         (text_of "umask"))
    ?nice:(int_of "nice")
    ?pdeathsig:(Option.map signal (text_of "pdeathsig"))
    ?rlimits:(Option.map (List.map rlimit) (words_of "rlimits"))
    ?sigmask:(Option.map (List.map signal) (words_of "sigmask"))
    ?sigignore:(Option.map (List.map signal) (words_of "sigignore"))
    ?cgroup:(text_of "cgroup")
    ?kill:(Option.map kill_policy (text_of "kill"))
    program arguments

let stages =
  Xlchild.
    [
      No_stage; Argument; Prepare; Fork; Gate; Fds; Signals; Session; Ctty;
      Cgroup; Rlimit; Nice; Groups; Gid; Uid; Pdeathsig; Chdir; Exec;
    ]

let owners =
  Xlchild.[ Libxl; Mainloop; Libxl_always; Selective_reap; Nobody ]

let reasons =
  Xlchild.[ Stolen; Ignored; Not_passed; Not_ours; Number_reused; Left; Never_ran ]
