(* support.ml - what the OCaml tests share

   The helper child, running a child by hand, and looking at this process from
   outside: its descriptors, children, and the disposition of SIGCHLD. *)

open Xlchild

let root = Sys.getenv "XLCHILD_ROOT"
let child = Filename.concat root "build/tests/helpers/child"
let tiny = Filename.concat root "build/tests/helpers/tiny"

(* A command that runs the helper with these verbs. *)
let verbs list = command ~search:false child list
let exit_with code = verbs [ "exit"; string_of_int code ]

let process_status = function
  | Unix.WEXITED n -> Printf.sprintf "exit %d" n
  | Unix.WSIGNALED n -> Printf.sprintf "signal %d" n
  | Unix.WSTOPPED n -> Printf.sprintf "stopped %d" n

let status_text = function
  | Status s -> process_status s
  | Lost reason -> "lost: " ^ lost_text reason

let check_status name expected (ended : ended) =
  Alcotest.(check string) name expected (status_text ended.status)

(* Runs [f], which has to raise an Error of this code. *)
let fails_with name code f =
  match f () with
  | _ -> Alcotest.failf "%s: no error" name
  | exception Error e ->
      Alcotest.(check string) name (code_text code) (code_text e.code)

let open_fds () =
  let fds =
    List.sort compare
      (List.filter
         (fun fd ->
           Sys.file_exists ("/proc/self/fd/" ^ fd))
         (Array.to_list (Sys.readdir "/proc/self/fd")))
  in
  String.concat " " fds

(* The bit of SIGCHLD in a line of /proc/self/status. *)
let sigchld_in line =
  let file = open_in "/proc/self/status" in
  let rec find () =
    match input_line file with
    | text when String.length text > 7 && String.sub text 0 6 = line ->
        Int64.of_string ("0x" ^ String.trim (String.sub text 7 17))
    | _ -> find ()
  in
  let mask = Fun.protect ~finally:(fun () -> close_in file) find in
  Int64.logand (Int64.shift_right_logical mask 16) 1L = 1L

let sigchld_caught () = sigchld_in "SigCgt"
let sigchld_ignored () = sigchld_in "SigIgn"

let read_line_of path =
  match open_in path with
  | exception Sys_error _ -> ""
  | file ->
      Fun.protect
        ~finally:(fun () -> close_in file)
        (fun () -> try input_line file with End_of_file | Sys_error _ -> "")

(* The pids of this process's children, zombies included, without touching
   them. *)
let children () =
  String.concat ""
    (List.map
       (fun task ->
         read_line_of (Printf.sprintf "/proc/self/task/%s/children" task))
       (Array.to_list (Sys.readdir "/proc/self/task")))

(* What another thread of the library brings about: asked again and again, for
   at most 10 s. *)
let rec eventually ?(left = 10_000) condition =
  condition ()
  || left > 0
     && begin
          ignore (poll ~timeout:0.001 []);
          eventually ~left:(left - 1) condition
        end

(* Whatever signals come meanwhile. *)
let readable ~within fd =
  let until = now () +. within in
  let rec look () =
    let left = until -. now () in
    poll ~timeout:(max 0. left) [ fd ] <> [] || (left > 0. && look ())
  in
  look ()

let no_children () = eventually (fun () -> String.trim (children ()) = "")

(* Under valgrind this process is not seen from outside: what /proc tells is
   valgrind's. *)
let seen_from_outside = Sys.getenv_opt "XLCHILD_VALGRIND" = None

(* A case that has to leave descriptors, children and SIGCHLD as they were. *)
let case name f =
  Alcotest.test_case name `Quick @@ fun () ->
  if not seen_from_outside then f ()
  else begin
    (* the logger stays, once it is there, and so does forkhelpers' context *)
    ignore (Xlchild_syslog.outlives ());
    ignore (Xlchild.fileno (Xlchild_forkhelpers.context ()));
    let fds = open_fds () in
    let caught = sigchld_caught () in
    f ();
    Alcotest.(check bool) "no child is left" true (no_children ());
    if not (eventually (fun () -> open_fds () = fds)) then
      Alcotest.(check string) "descriptors are as before" fds (open_fds ());
    Alcotest.(check bool) "SIGCHLD is as before" caught (sigchld_caught ())
  end

(* Cases that valgrind cannot run. *)
let not_under_valgrind ~why cases =
  if seen_from_outside then cases
  else begin
    List.iter
      (fun (name, _, _) -> Printf.printf "skipped - %s: %s\n%!" name why)
      cases;
    []
  end

let close_quietly fd = try Unix.close fd with Unix.Unix_error _ -> ()

(* Ends of a pipe that are closed afterwards, whatever happens. *)
(* [f] may close an end: its number may then be another's, and is let be. *)
let with_pipe f =
  let r, w = Unix.pipe ~cloexec:true () in
  let same fd =
    let stat = Unix.fstat fd in
    (stat.st_dev, stat.st_ino)
  in
  let pipe = same r in
  let close_if_ours fd =
    match same fd with
    | its -> if its = pipe then close_quietly fd
    | exception Unix.Unix_error (EBADF, _, _) -> ()
  in
  Fun.protect
    ~finally:(fun () ->
      close_if_ours r;
      close_if_ours w)
    (fun () -> f r w)

(* A child that lives until [w] is closed, its stdin. *)
let held r more =
  command ~search:false
    ~fds:(Fd_map.of_list [ (0, Fd r) ])
    child ("hold" :: more)

let with_temporary_folder f =
  let path = Filename.temp_file "xlchild" "" in
  Sys.remove path;
  Unix.mkdir path 0o755;
  Fun.protect
    ~finally:(fun () ->
      ignore
        (Unix.system (Filename.quote_command "rm" [ "-rf"; "--"; path ])))
    (fun () -> f path)

let read_all path =
  let file = open_in_bin path in
  Fun.protect
    ~finally:(fun () -> close_in file)
    (fun () -> really_input_string file (in_channel_length file))

let python =
  match Sys.getenv_opt "PYTHON" with
  | Some path when path <> "" -> path
  | _ -> "/usr/bin/python3"

(* stdout and stderr of another program, which has to succeed. *)
let output_of program arguments =
  with_context @@ fun ctx ->
  let r =
    run ctx ~stdout:`Capture ~stderr:`Capture (command program arguments)
  in
  if r.child.status <> Status (WEXITED 0) then
    Alcotest.failf "%s: %s: %s" program (status_text r.child.status) r.err.data;
  (r.out.data, r.err.data)

let write_file path text =
  let file = open_out_bin path in
  Fun.protect
    ~finally:(fun () -> close_out file)
    (fun () -> output_string file text)
