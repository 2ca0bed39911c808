(* coexist.ml - children of the library and of the host in one program

   coexist libxl N     the library owns SIGCHLD: N children through it and N of
                       the host's own, at the same time, in two threads; the
                       host's reach it through childproc_exited
   coexist mainloop N  the host owns SIGCHLD and reaps; it passes on what it has
                       reaped. One thread, so that strace sees all of it

   Run by run.sh, the second under strace. Exits with 0 if all 2N statuses came
   once and right, and SIGCHLD is as it was. *)

open Xlchild

let child = Filename.concat (Sys.getenv "XLCHILD_ROOT") "build/tests/helpers/child"
let most_alive = 64

let die format =
  Printf.ksprintf
    (fun s ->
      prerr_endline ("coexist: " ^ s);
      exit 1)
    format

(* Every child's end: an exit code, or every sixteenth a signal. *)
type planned = { verbs : string list; expected : Unix.process_status }

let signals =
  [| ("SIGKILL", Sys.sigkill); ("SIGTERM", Sys.sigterm);
     ("SIGUSR1", Sys.sigusr1); ("SIGABRT", Sys.sigabrt) |]

let plan i =
  if i mod 16 = 15 then
    let name, signal = signals.(i / 16 mod 4) in
    { verbs = [ "signal"; name ]; expected = Unix.WSIGNALED signal }
  else
    let code = i * 7 mod 251 in
    { verbs = [ "exit"; string_of_int code ]; expected = Unix.WEXITED code }

let check_end who i (status : Unix.process_status) =
  if status <> (plan i).expected then die "%s %d: a wrong status" who i

(* ---- the host's own ---- *)

(* An end may come before the pid is known to whoever started the child. *)
type own = {
  lock : Mutex.t;
  changed : Condition.t;
  started : (int, int) Hashtbl.t;  (* pid -> number *)
  early : (int, Unix.process_status) Hashtbl.t;
  seen : bool array;
  mutable ended : int;
  mutable alive : int;
}

let own n =
  {
    lock = Mutex.create ();
    changed = Condition.create ();
    started = Hashtbl.create 100;
    early = Hashtbl.create 100;
    seen = Array.make n false;
    ended = 0;
    alive = 0;
  }

let account own i status =
  check_end "own" i status;
  if own.seen.(i) then die "own %d: twice" i;
  own.seen.(i) <- true;
  own.ended <- own.ended + 1;
  own.alive <- own.alive - 1;
  Condition.signal own.changed

let locked own f =
  Mutex.lock own.lock;
  Fun.protect ~finally:(fun () -> Mutex.unlock own.lock) f

let own_ended own pid status =
  locked own @@ fun () ->
  match Hashtbl.find_opt own.started pid with
  | Some i ->
      Hashtbl.remove own.started pid;
      account own i status
  | None -> Hashtbl.replace own.early pid status

let own_start own i =
  let pid =
    Unix.create_process child
      (Array.of_list (child :: (plan i).verbs))
      Unix.stdin Unix.stdout Unix.stderr
  in
  locked own @@ fun () ->
  own.alive <- own.alive + 1;
  match Hashtbl.find_opt own.early pid with
  | Some status ->
      Hashtbl.remove own.early pid;
      account own i status
  | None -> Hashtbl.replace own.started pid i

(* ---- ours ---- *)

let start_ours ctx i =
  ignore
    (start ctx
       (command ~search:false child (plan i).verbs)
       ~report:(Event i))

let take seen = function
  | Exited { tag; ended = { status = Status status; _ } } ->
      check_end "ours" tag status;
      if seen.(tag) then die "ours %d: twice" tag;
      seen.(tag) <- true
  | Exited { ended = { status = Lost _; _ }; _ } -> die "lost"
  | _ -> die "another event"

(* ---- SIGCHLD, as the kernel sees it ---- *)

let sigchld_caught () =
  let file = open_in "/proc/self/status" in
  let rec find () =
    let line = input_line file in
    if String.length line > 7 && String.sub line 0 6 = "SigCgt" then
      Int64.of_string ("0x" ^ String.trim (String.sub line 7 17))
    else find ()
  in
  let mask = find () in
  close_in file;
  Int64.logand (Int64.shift_right_logical mask 16) 1L = 1L

(* ---- the two programs ---- *)

let libxl n =
  let own = own n in
  let ours = Array.make n false in
  if sigchld_caught () then die "SIGCHLD is not at its default";
  let ctx = create ~owner:Libxl () in
  set_mode ctx Libxl ~childproc_exited:(fun pid status ->
      own_ended own pid status;
      Recognised);
  (* the treaty: strangers are reaped while the context has a child *)
  let r, w = Unix.pipe ~cloexec:true () in
  let keeper =
    start ctx
      (command ~search:false
         ~fds:(Fd_map.of_list [ (0, Fd r) ])
         child [ "hold" ])
  in
  let host =
    Thread.create
      (fun () ->
        for i = 0 to n - 1 do
          locked own (fun () ->
              while own.alive >= most_alive do
                Condition.wait own.changed own.lock
              done);
          own_start own i
        done)
      ()
  in
  let started = ref 0 and ended = ref 0 in
  while !ended < n || own.ended < n do
    while !started < n && !started - !ended < most_alive do
      start_ours ctx !started;
      incr started
    done;
    List.iter
      (fun e ->
        take ours e;
        incr ended)
      (wait_many ~timeout:0.02 ctx)
  done;
  Thread.join host;
  if not (sigchld_caught ()) then die "no handler while a child lives";
  Unix.close w;
  (match Child.wait keeper with
  | { status = Status (Unix.WEXITED 0); _ } -> ()
  | _ -> die "the keeper");
  if sigchld_caught () then die "SIGCHLD is not back at its default";
  close ctx;
  Array.iteri (fun i b -> if not b then die "ours %d is missing" i) ours;
  Array.iteri (fun i b -> if not b then die "own %d is missing" i) own.seen

let marker name =
  try Unix.access ("/xlchild-" ^ name) [ Unix.F_OK ]
  with Unix.Unix_error _ -> ()

let mainloop n =
  let own = own n in
  let ours = Array.make n false in
  let r, w = Unix.pipe ~cloexec:true () in
  Unix.set_nonblock w;
  let old =
    Sys.signal Sys.sigchld
      (Sys.Signal_handle
         (fun _ ->
           try ignore (Unix.write_substring w "x" 0 1)
           with Unix.Unix_error _ -> ()))
  in
  marker "begin";
  let ctx = create ~owner:Mainloop () in
  let started = ref 0 and ended = ref 0 in
  let rec reap () =
    match Unix.waitpid [ Unix.WNOHANG ] (-1) with
    | exception Unix.Unix_error (Unix.ECHILD, _, _) -> ()
    | exception Unix.Unix_error (Unix.EINTR, _, _) -> reap ()
    | 0, _ -> ()
    | pid, status ->
        if not (exited ctx pid status) then own_ended own pid status;
        reap ()
  in
  let buffer = Bytes.create 512 in
  while !ended < n || own.ended < n do
    while !started < n && !started - !ended < most_alive do
      start_ours ctx !started;
      own_start own !started;
      incr started
    done;
    (match Unix.select [ r ] [] [] 10. with
    | [], _, _ -> die "no SIGCHLD"
    | _ -> ignore (Unix.read r buffer 0 512)
    | exception Unix.Unix_error (Unix.EINTR, _, _) -> ());
    reap ();
    let rec drain () =
      match check ctx with
      | Some e ->
          take ours e;
          incr ended;
          drain ()
      | None -> ()
    in
    drain ()
  done;
  close ctx;
  marker "end";
  Sys.set_signal Sys.sigchld old;
  Array.iteri (fun i b -> if not b then die "ours %d is missing" i) ours;
  Array.iteri (fun i b -> if not b then die "own %d is missing" i) own.seen

let () =
  match Sys.argv with
  | [| _; "libxl"; n |] -> libxl (int_of_string n)
  | [| _; "mainloop"; n |] -> mainloop (int_of_string n)
  | _ -> die "usage: coexist libxl|mainloop N"
