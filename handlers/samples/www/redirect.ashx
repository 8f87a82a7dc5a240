<%@ WebHandler Class="samples::Redirect, answers" %>
