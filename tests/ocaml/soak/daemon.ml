(* daemon.ml - the soak's daemon: tells the driver every event, obeys its lines

   A line of stdin is a command: restart NAME, look, leave, close. At the end
   of stdin it closes. Events and answers are lines of stdout, one write each,
   so that a SIGKILL leaves no half of one. *)

open Xlchild_supervisor

let say format =
  Printf.ksprintf
    (fun text ->
      let line = text ^ "\n" in
      ignore (Unix.write_substring Unix.stdout line 0 (String.length line)))
    format

let cause_text = function
  | By_itself -> "itself"
  | Told_to -> "told"
  | Not_ready -> "unready"

let on_event { service; run; what } =
  match what with
  | Started _ -> say "started %s %s" service run
  | Adopted _ -> say "adopted %s %s" service run
  | Ended { ending; cause; _ } ->
      say "ended %s %s %s %s" service run (cause_text cause)
        (ending_text ending)
  | Start_unknown -> say "unknown %s %s" service run
  | Ready_too_late -> say "late %s %s" service run
  | Ready | Starting_again_in _ | Accounted _ -> ()
  | Not_started _ | Given_up | Output_lost _ | State_lost _ | State_not_kept _
    ->
      say "trouble %s" (event_text { service; run; what })

let fds () = Array.length (Sys.readdir "/proc/self/fd")

let first_words path =
  let file = open_in path in
  Fun.protect
    ~finally:(fun () -> close_in_noerr file)
    (fun () ->
      String.split_on_char ' '
        (try input_line file with End_of_file -> ""))

let children () =
  Array.to_list (Sys.readdir "/proc/self/task")
  |> List.concat_map (fun task ->
         (* a thread that was joined may still be about to go *)
         try first_words (Printf.sprintf "/proc/self/task/%s/children" task)
         with Sys_error _ -> [])
  |> List.filter (( <> ) "")

(* Resident pages, after the garbage is gone. *)
let look () =
  Gc.compact ();
  let resident = List.nth (first_words "/proc/self/statm") 1 in
  say "look %d %d %d" (fds ())
    (int_of_string resident * 4)
    (Gc.stat ()).live_words

let run ~folder ~ledger =
  (* the logger stays, once it is there *)
  ignore (Xlchild_syslog.outlives ());
  let before = fds () in
  let t = create ~state_folder:folder ~on_event () in
  List.iter
    (fun service -> ignore (add t service))
    (Services.all ~ledger ~logs:folder);
  say "up";
  let rec obey () =
    match String.split_on_char ' ' (input_line stdin) with
    | [ "restart"; name ] ->
        Option.iter (restart ~wait:false) (find t name);
        obey ()
    | [ "look" ] ->
        look ();
        obey ()
    | [ "leave" ] -> true
    | _ -> false
    | exception End_of_file -> false
  in
  let leave = obey () in
  close t ~leave;
  let kept = if leave then 0 else List.length (children ()) in
  say "closed %d %d" (fds () - before) kept
